#!/usr/bin/env bash
# Linux and macOS:  bash start.sh        makes .venv, installs once, opens the panel (options are handed on)
#                   bash start.sh test   installs what the tests need and runs them (options go to pytest)
# HERMES_TORCH_INDEX  another index for torch, such as a mirror; "none" takes torch from pip's own settings
# HERMES_PYTHON       the Python to use
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() { printf '\n%s\n' "$*" >&2; exit 1; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${HERMES_PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    if command -v "$candidate" >/dev/null 2>&1 && is_new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer was not found. Install it from https://www.python.org/downloads/ and start again.
没有找到 Python 3.11 或更新的版本。请从 https://www.python.org/downloads/ 安装后重新启动。"
}

has_nvidia() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; }

install_torch() {
  local index="${HERMES_TORCH_INDEX:-}"
  local torch
  torch="$(grep '^torch' requirements.txt)"
  # On Linux pip's default build of torch is gigabytes of CUDA, which a machine without a card has no use for.
  if [ -z "$index" ] && [ "$(uname -s)" = Linux ] && ! has_nvidia; then
    index=https://download.pytorch.org/whl/cpu
  fi
  if [ -z "$index" ] || [ "$index" = none ]; then
    python -m pip install -qq "$torch"
  else
    # An index that does not answer is skipped; pip's own settings then decide.
    python -m pip install -qq --retries 0 --timeout 15 --extra-index-url "$index" "$torch"
  fi
}

confirm_gpu() {
  has_nvidia || return 0
  python - <<'PY' || printf '%s\n' "The GPU is there but torch cannot use it: the CPU is used. (已检测到显卡，但 torch 无法使用，将用 CPU。)"
import sys
import torch
if not torch.cuda.is_available():
    sys.exit(1)
x = torch.randn(256, 256, device="cuda")
sys.exit(not bool(torch.isfinite((x @ x).sum()).item()))
PY
}

# The stamp is what was installed: the same text means nothing to do.
install_once() {
  local stamp=".venv/installed-$1" wanted
  shift
  wanted="$(cat "$@" && python --version && printf '%s' "${HERMES_TORCH_INDEX:-}")"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
  printf '%s\n' "Installing, once; this takes a few minutes. (首次安装，需要几分钟。)"
  python -m pip install -qq --upgrade pip
  printf '%s\n' "  torch ..."
  install_torch
  local file
  for file in "$@"; do
    printf '%s\n' "  $file ..."
    python -m pip install -qq -r "$file"
  done
  confirm_gpu
  printf '%s' "$wanted" > "$stamp"
}

[ -x .venv/bin/python ] && is_new_enough .venv/bin/python || "$(find_python)" -m venv .venv
# shellcheck disable=SC1091
source .venv/bin/activate

if [ "${1:-}" = test ]; then
  shift
  install_once tests requirements.txt requirements-test.txt
  # A process a core, one thread each: threads of several processes on the same cores wait for each other.
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  if [ $# -gt 0 ]; then exec python -m pytest "$@"; fi
  python -m pytest -n auto --dist loadfile -m "not browser"
  exec python -m pytest -m browser  # a walk through the page waits for what it sees: it has the machine to itself
fi
install_once panel requirements.txt
exec python gradio_app.py "$@"
