-- SPDX-License-Identifier: MIT
-- The completion of lua-bpf for bash, as text: of the commands that completion.lua describes.

local words_after = require("bpf.command.completion_words")

local BASH <const> = [==[
# Completion of lua-bpf for bash. Made by `lua-bpf completion bash`.

_lua_bpf_offer() # what, the command, the word so far
{
	case $1 in
	file | map | prog | link)
		compopt -o filenames
		if [[ $1 != file && $3 != */* ]]; then
			compopt +o filenames
			mapfile -t COMPREPLY < <(compgen -W "$("$2" completion "$1" 2>/dev/null)" -- "$3")
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$3")
		fi
		;;
	directory)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$3")
		;;
	probe)
		mapfile -t COMPREPLY < <("$2" completion probe "$3" 2>/dev/null)
		[[ ${COMPREPLY[0]} == */ ]] && compopt -o nospace
		;;
	=*)
		local words=${1#=}
		mapfile -t COMPREPLY < <(compgen -W "${words//,/ }" -- "$3")
		;;
	esac
}

_lua_bpf()
{
	local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} options letters arguments
	local i kind= next=2 position=0 pending=
	local -a places
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W '@FIRST@ map help --help --version' -- "$cur")
		return
	fi
	case $command in
	map | prog | link)
		if ((COMP_CWORD == 2)); then
			case $command in
@SECOND@
			esac
			mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
			return
		fi
		[[ $command == map ]] && command=${COMP_WORDS[2]} || command="$command ${COMP_WORDS[2]}"
		next=3
		;;
	help)
		mapfile -t COMPREPLY < <(compgen -W '@FIRST@' -- "$cur")
		return
		;;
	esac
	case $command in
@COMMANDS@
	*) return ;;
	esac
	read -ra places <<<"$arguments"
	for ((i = next; i <= COMP_CWORD; i++)); do
		local word=${COMP_WORDS[i]}
		if [[ -n $pending && $word == '=' ]]; then
			((i == COMP_CWORD)) && cur= && break
			continue
		elif [[ -n $pending ]]; then
			((i == COMP_CWORD)) && break
			pending=
		elif ((i == COMP_CWORD)); then
			break
		elif [[ $word == -* ]]; then
			for kind in $letters; do
				[[ -${kind%%:*} == "$word" ]] && word=--${kind#*:}
			done
			for kind in $options; do
				[[ --${kind%%:*} == "$word" && ${kind#*:} != flag ]] && pending=${kind#*:}
			done
		else
			((position++))
		fi
	done
	if [[ -n $pending ]]; then
		_lua_bpf_offer "$pending" "$1" "$cur"
	elif [[ $cur == -* ]]; then
		for kind in $options help:flag; do
			[[ --${kind%%:*} == "$cur"* ]] && COMPREPLY+=("--${kind%%:*}")
		done
	else
		kind=${places[position]:-}
		((position >= ${#places[@]} && ${#places[@]} > 0)) && kind=${places[-1]} && [[ $kind != *... ]] && kind=
		_lua_bpf_offer "${kind%...}" "$1" "$cur"
	fi
}

complete -F _lua_bpf lua-bpf
]==]

return function(list)
  local cases, kinds = {}, {}
  for i, one in ipairs(list) do
    local options, letters = {}, {}
    for j, option in ipairs(one.options) do
      options[j] = option.name .. ":" .. option.offer
      letters[#letters + 1] = option.letter and option.letter .. ":" .. option.name
    end
    cases[i] = ("\t'%s') options='%s' letters='%s' arguments='%s' ;;"):format(one.name, table.concat(options, " "),
      table.concat(letters, " "), table.concat(one.arguments, " "))
  end
  for i, kind in ipairs { "map", "prog", "link" } do
    kinds[i] = ("\t\t\t%s) options='%s' ;;"):format(kind, table.concat(words_after(list, kind), " "))
  end
  return (BASH:gsub("@([A-Z]+)@", { FIRST = table.concat(words_after(list), " "), SECOND = table.concat(kinds, "\n"),
    COMMANDS = table.concat(cases, "\n") }))
end
