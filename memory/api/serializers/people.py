"""The erasure of a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from ...lifecycle.erasure import KEEP, State
from .. import fields
from .base import StrictSerializer

KEEP_HOURS = int(KEEP / timedelta(hours=1))
MOST_HOURS = 24 * 365


class ErasureQuerySerializer(StrictSerializer):
    """How a person is erased."""

    keep_hours = fields.StrictIntegerField(
        default=KEEP_HOURS,
        min_value=1,
        max_value=MOST_HOURS,
        help_text="How long writes of the person are refused, from this request on.",
    )
    scan = fields.StrictBooleanField(
        default=True, help_text="Whether to read the data of other agents, for values that name the person."
    )


class ErasureCostSerializer(serializers.Serializer[Any]):
    """What an erasure costs, by what is stored now."""

    owned = serializers.DictField(child=serializers.IntegerField(), help_text="Records of the person, by table.")
    looked_through = serializers.DictField(
        child=serializers.IntegerField(), help_text="Records that are read since they may name the person, by table."
    )
    reads = serializers.IntegerField(help_text="Documents that are read, if nobody writes meanwhile.")
    writes = serializers.IntegerField(help_text="Documents that are written.")
    deletes = serializers.IntegerField(help_text="Documents that are deleted, at least.")
    price = serializers.FloatField(help_text="US dollars on Firestore; 0 on other databases.")


class ReceiptSerializer(serializers.Serializer[Any]):
    """The file that `memory_erase --verify` and `receipts.py` check."""

    payload = serializers.CharField(help_text="A text that is JSON: counts, times, and digests of the ids.")
    signature = serializers.CharField(help_text="Its Ed25519 signature as base64; empty without a key.")


class ErasureSerializer(serializers.Serializer[Any]):
    """How far the erasure of a person is."""

    user_id = serializers.CharField(help_text="The person.")
    state = serializers.ChoiceField(
        choices=("none", *State),
        help_text="`none`: not begun, or ended. `more`: records may be left. `waiting`: writes may be under way until "
        "`go_on_at`. After both, send the POST again. `finished`: there is a receipt.",
    )
    erased = serializers.DictField(
        child=serializers.IntegerField(), help_text="Records that have been erased, by table, in all requests."
    )
    go_on_at = fields.TimestampField(allow_null=True, help_text="When the next POST can finish, if it has to wait.")
    refused_until = fields.TimestampField(allow_null=True, help_text="Until then writes of the person are refused.")
    receipt = ReceiptSerializer(allow_null=True, help_text="The receipt, if the erasure is finished. Keep it.")
    cost = ErasureCostSerializer(help_text="The cost as it was when the request began.")
