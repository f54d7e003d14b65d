-- SPDX-License-Identifier: MIT
-- The completion of lua-bpf for zsh, as text: of the commands that completion.lua describes.

local words_after = require("bpf.command.completion_words")

local ZSH <const> = [==[
# Completion of lua-bpf for zsh. Made by `lua-bpf completion zsh`.

_lua_bpf_object() # kind
{
	if [[ $PREFIX == */* ]]; then
		_files
	else
		local -a names
		names=(${(f)"$($_lua_bpf_command completion $1 2>/dev/null)"})
		compadd -- $names
	fi
}

_lua_bpf_probe()
{
	local -a names
	names=(${(f)"$($_lua_bpf_command completion probe "$PREFIX" 2>/dev/null)"})
	compadd -S '' -- ${(M)names:#*/}
	compadd -- ${names:#*/}
}

_lua_bpf()
{
	local _lua_bpf_command=$words[1] command=$words[2]
	local -i drop=1
	local -a first
	first=(
@FIRST@
		'map:commands on objects of this kind'
		'help:explain a command'
	)
	if ((CURRENT == 2)); then
		_describe command first
		return
	fi
	case $command in
	map|prog|link)
		if ((CURRENT == 3)); then
			case $command in
@SECOND@
			esac
			return
		fi
		[[ $command == map ]] && command=$words[3] || command="$command $words[3]"
		drop=2
		;;
	help)
		_describe command first
		return
		;;
	esac
	shift $drop words
	((CURRENT -= drop))
	case $command in
@COMMANDS@
	esac
}

compdef _lua_bpf lua-bpf
]==]

-- What _arguments takes for what is offered.
local ACTIONS <const> = { any = " ", file = "_files", directory = "_files -/", map = "_lua_bpf_object map",
  prog = "_lua_bpf_object prog", link = "_lua_bpf_object link", probe = "_lua_bpf_probe" }

local function action(offered)
  local words = offered:match("^=(.*)$")
  return words and "(" .. words:gsub(",", " ") .. ")" or ACTIONS[offered]
end

-- The arguments of _arguments for a command.
local function zsh_arguments(one)
  local list = { "'(- *)--help[explain the command]'" }
  for _, option in ipairs(one.options) do
    local flag = option.offer == "flag"
    local value = flag and "" or (":%s:%s"):format(option.name, action(option.offer))
    local names = ("%s--%s%s"):format(option.many and "*" or "", option.name, flag and "" or "=")
    list[#list + 1] = ("'%s[%s]%s'"):format(names, option.text, value)
    list[#list + 1] = option.letter and ("'%s-%s%s[%s]%s'"):format(option.many and "*" or "", option.letter,
      flag and "" or "+", option.text, value)
  end
  for i, argument in ipairs(one.arguments) do
    local kind, more = argument:match("^(.-)(%.*)$")
    list[#list + 1] = ("'%s:%s:%s'"):format(more ~= "" and "*" or ("%d"):format(i), kind:match("^[a-z]+") or "word",
      action(kind))
  end
  return table.concat(list, " \\\n\t\t\t")
end

return function(list)
  local cases, kinds, first, seen = {}, {}, {}, {}
  for i, one in ipairs(list) do
    if not seen[one.first] then
      seen[one.first] = true
      first[#first + 1] = ("\t\t'%s:%s'"):format(one.first, one.second == "" and one.summary:gsub("'", "'\\''")
        or "commands on objects of this kind")
    end
    cases[i] = ("\t'%s')\n\t\t_arguments -s \\\n\t\t\t%s\n\t\t;;"):format(one.name, zsh_arguments(one))
  end
  for i, kind in ipairs { "map", "prog", "link" } do
    kinds[i] = ("\t\t\t%s) compadd -- %s ;;"):format(kind, table.concat(words_after(list, kind), " "))
  end
  return (ZSH:gsub("@([A-Z]+)@", { FIRST = table.concat(first, "\n"), SECOND = table.concat(kinds, "\n"),
    COMMANDS = table.concat(cases, "\n") }))
end
