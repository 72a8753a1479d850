#!/usr/bin/env bash
# langchain-google-firestore 0.5.0: a second worker's message erases those that the first one added meanwhile.
#
# FirestoreChatMessageHistory reads the session once, when it is constructed, and writes its own list as the whole of
# the document with each message. Two web workers that hold the same session lose messages without an error. Needs
# gcloud's Firestore emulator (seen with 1.19.9).
# Output seen: "added ['Hello', 'Which tea?', 'Green tea'], stored ['Hello', 'Green tea']".
set -euo pipefail
folder=$(mktemp -d)
emulator=
trap '[ -z "$emulator" ] || kill -- "-$emulator" || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  langchain-google-firestore==0.5.0 google-cloud-firestore==2.34.1 google-cloud-storage==2.19.0 langchain-core==0.3.86 \
  langchain-community==0.3.31 2>/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
set -m # the emulator gets a process group of its own
CLOUDSDK_CONFIG=$folder/gcloud gcloud emulators firestore start --quiet --host-port="127.0.0.1:$port" >"$folder/log" 2>&1 &
emulator=$!
set +m
until grep -q "Dev App Server is now running" "$folder/log"; do
  kill -0 "$emulator"
  sleep 1
done
export FIRESTORE_EMULATOR_HOST=127.0.0.1:$port
"$folder/venv/bin/python" - <<'PY'
from google.cloud import firestore
from langchain_google_firestore import FirestoreChatMessageHistory

client = firestore.Client(project="findings")


def history():
    return FirestoreChatMessageHistory("dinner", client=client)


history().add_user_message("Hello")
one, other = history(), history()
one.add_user_message("Which tea?")
other.add_ai_message("Green tea")
stored = [message.content for message in history().messages]
print(f"added ['Hello', 'Which tea?', 'Green tea'], stored {stored}")
assert stored == ["Hello", "Green tea"], "the second writer erased the first one's message in 0.5.0"
PY
