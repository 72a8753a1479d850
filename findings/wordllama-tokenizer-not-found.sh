#!/usr/bin/env bash
# wordllama 0.4.0.post1: the tokenizer that is installed with the package is not found, so load() needs the network.
#
# The wheel has weights/l2_supercat_256.safetensors and tokenizers/l2_supercat_tokenizer_config.json. load() documents
# that it looks into "tokenizers", but looks into "tokenizer": without the network, or with disable_download=True, it
# raises FileNotFoundError. The weights are found. An empty cache_dir stands for a machine that has downloaded nothing
# yet.
# Output seen: "installed: weights True, tokenizer True; load: FileNotFoundError for the tokenizer".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check wordllama==0.4.0.post1 2>/dev/null
"$folder/venv/bin/python" - "$folder/cache" <<'PY'
import sys
from pathlib import Path

import wordllama

package = Path(wordllama.__file__).parent
weights = (package / "weights" / "l2_supercat_256.safetensors").exists()
tokenizer = (package / "tokenizers" / "l2_supercat_tokenizer_config.json").exists()
try:
    wordllama.WordLlama.load(cache_dir=sys.argv[1], disable_download=True)
    loaded = "no error"
except FileNotFoundError as error:
    assert str(error).startswith("Tokenizer file"), error
    loaded = "FileNotFoundError for the tokenizer"
print(f"installed: weights {weights}, tokenizer {tokenizer}; load: {loaded}")
assert weights and tokenizer
assert loaded != "no error", "the installed tokenizer was not found in 0.4.0.post1"
PY
