#compdef lua-bpf
# SPDX-License-Identifier: MIT
# zsh loads this file when it first completes lua-bpf. The completion comes from the command itself, whose it is.
eval "$(lua-bpf completion zsh 2>/dev/null)"
(($+functions[_lua_bpf])) && _lua_bpf "$@"
