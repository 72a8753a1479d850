"""Tests of adapters need their frameworks, which `make test-adapters` installs. Others are not collected."""

from importlib.util import find_spec

# A framework, and the start of the names of its tests.
FRAMEWORKS = {"langgraph": "test_langgraph", "agents": "test_openai_agents", "langchain_core": "test_langchain"}

collect_ignore_glob = [f"{name}*" for framework, name in FRAMEWORKS.items() if find_spec(framework) is None]
