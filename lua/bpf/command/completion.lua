-- SPDX-License-Identifier: MIT
-- lua-bpf completion: completion for shells, made from the tables of commands and options.

local bpf = require("bpf")
local commands = require("bpf.command.commands")
local frame = require("bpf.command.frame")

local USAGE <const> = [[
Usage: lua-bpf completion bash | zsh | map | prog | link | probe WORD

Prints a script by which a shell completes commands, options, names of objects and files. Where lua-bpf is installed,
bash-completion and zsh load the scripts by themselves. With `map`, `prog` or `link`, prints the names that the scripts
offer; with `probe`, the probes that begin with WORD.

Example: eval "$(lua-bpf completion bash)"
]]

local KINDS <const> = { map = bpf.maps, prog = bpf.progs, link = bpf.links }

-- What a shell offers for an option's value, as a word: "flag" for no value, "any" for nothing, "=a,b" for words.
local function offer(reader)
  if reader == true then
    return "flag"
  elseif type(reader) == "table" and reader.values then
    return "=" .. table.concat(reader.values, ",")
  end
  return type(reader) == "table" and reader.complete or "any"
end

-- The same for an argument.
local function offer_argument(argument)
  if type(argument) == "function" then
    argument = argument()
  end
  return type(argument) == "table" and "=" .. table.concat(argument, ",") or argument
end

-- The beginning of what the help tells of an option.
local function described(found, name)
  local text = found.usage:match("\n  [^\n]-%-%-" .. name:gsub("%-", "%%-") .. "[^\n]-  +([^\n]+)\n")
  return (text or ""):gsub("%.[ \n].*", ""):match("^[^;:%[%]\\]*"):gsub("'", "'\\''")
end

-- The commands: name, first and second word, summary, sorted options with what is offered, arguments.
local function described_commands()
  local list = {}
  for i, row in ipairs(commands) do
    local found = commands.of(row)
    local first, second = row[1]:match("^(%S+) ?(.*)$")
    local one = { name = row[1], first = first, second = second, summary = row[3], options = {}, arguments = {},
      only_map = (found.arguments or {})[1] == "map" }
    local letters = {}
    for letter, name in pairs(found.short or {}) do
      letters[name] = letter
    end
    for name, reader in pairs(found.options or {}) do
      table.insert(one.options, {
        name = name, letter = letters[name], offer = offer(reader), text = described(found, name),
        many = type(reader) == "table" and reader.many,
      })
    end
    table.sort(one.options, function(a, b) return a.name < b.name end)
    for j, argument in ipairs(found.arguments or {}) do
      one.arguments[j] = offer_argument(argument)
    end
    list[i] = one
  end
  return list
end

local function print_names(kind)
  local names, seen = {}, {}
  for info in frame.need(KINDS[kind]()) do
    local named = kind == "link" and (bpf.prog_info(info.prog_id) or {}) or info
    if named.name and named.name ~= "" and not seen[named.name] then
      seen[named.name] = true
      names[#names + 1] = named.name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    frame.print_line(name)
  end
end

local function print_probes(word)
  for _, name in ipairs(require("bpf.command.completion_probes")(word)) do
    frame.print_line(name)
  end
end

local SHELLS <const> = { bash = "bpf.command.completion_bash", zsh = "bpf.command.completion_zsh" }

local function run(_, names)
  local shell = names[1]
  if shell == "probe" and #names <= 2 then
    print_probes(names[2] or "")
  elseif #names ~= 1 or not SHELLS[shell] and not KINDS[shell] then
    frame.misuse(names[1] and "not understood: " .. names[#names] or "which shell?", USAGE)
  elseif KINDS[shell] then
    print_names(shell)
  else
    frame.write(require(SHELLS[shell])(described_commands()))
  end
end

return { usage = USAGE, arguments = { { "bash", "zsh" } }, options = {}, run = run }
