# SPDX-License-Identifier: MIT
# bash loads this file when it first completes lua-bpf. The completion comes from the command itself, whose it is.
eval "$(lua-bpf completion bash 2>/dev/null)"
