"""The models of the soaks of transactions."""

from django.db import models


class Account(models.Model):
    """Some money."""

    id = models.CharField(primary_key=True, max_length=20)
    balance = models.IntegerField()
    note = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return self.id


class Move(models.Model):
    """Money that went from one account to another, written with both."""

    id = models.CharField(primary_key=True, max_length=20)
    source = models.CharField(max_length=20)
    target = models.CharField(max_length=20)
    amount = models.IntegerField()

    def __str__(self) -> str:
        return self.id


class Cell(models.Model):
    """A list that is only appended to."""

    id = models.CharField(primary_key=True, max_length=20)
    values = models.JSONField(default=list)

    def __str__(self) -> str:
        return self.id


class Job(models.Model):
    """A job of a queue."""

    id = models.CharField(primary_key=True, max_length=20)
    number = models.IntegerField()
    state = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.id
