-- SPDX-License-Identifier: MIT
-- What can be traced: probes by pattern, with their arguments, and what this kernel refuses. A module for each kind of
-- probe has these functions:
--   names(kind, place, options)    the names of all probes that a pattern's place may mean, in order; then why some
--                                  are missing. The section of a probe is kind/name
--   has(kind, name, place, options)  optional: whether there is a probe of this name, found out at once; or its name,
--                                  where the place says it in another way
--   matcher(kind, place, options)  optional: a function that tells whether a name fits the place
--   arguments(kind, name)          a list of { name, c, type }, and such a row for what the function returns; nil where
--                                  they aren't known, and why
--   refusal(kind, name)            why the kernel can't attach it, or nil; `each`: the answer differs from name to name

local near = require("bpf.base.near")
local pattern = require("bpf.trace.catalog.pattern")

local catalog = {}

-- The kinds in the order of the list: the section's name, the module, other names. `asked`: only by name, because
-- another kind has the same places. `files`: listed only for a file or process.
local KINDS <const> = {
  { "tracepoint", "tracepoint", "tp t" },
  { "raw_tp", "raw", "raw_tracepoint rawtracepoint rt" },
  { "tp_btf", "raw", "" },
  { "fentry", "kernel", "kfunc f" },
  { "fexit", "kernel", "kretfunc fr", asked = true },
  { "kprobe", "kernel", "k" },
  { "kretprobe", "kernel", "kr", asked = true },
  { "uprobe", "user", "u", files = true },
  { "uretprobe", "user", "ur", files = true, asked = true },
  { "usdt", "user", "U", files = true },
  { "software", "perf", "s" },
  { "hardware", "perf", "h" },
  { "iter", "iter", "it" },
  { "cgroup", "cgroup", "" },
  { "cgroup_skb", "cgroup", "" },
}

local by_word = {}
for _, row in ipairs(KINDS) do
  by_word[row[1]] = row
  for word in row[3]:gmatch("%S+") do
    by_word[word] = row
  end
end

-- Whether probes of a kind can be found.
function catalog.has(kind)
  return by_word[kind] ~= nil
end

local function module_of(row)
  return require("bpf.trace.catalog." .. row[2])
end

-- Whether a row is searched where the pattern names no kind.
local function is_default(row, options)
  if row.asked then
    return false
  end
  return (row.files or false) == (options.pid ~= nil)
end

local function kinds_near(word)
  local words = {}
  for _, row in ipairs(KINDS) do
    words[#words + 1] = row[1]
  end
  return near.names(word, words)
end

-- The kinds that a pattern means, the place behind the kind, nil for any, and whether a kind was named. Nil and a
-- message if a kind was named that doesn't exist.
local function split(text, options)
  local word, place = text:match("^([^:/]+)[:/](.*)$")
  local rows = {}
  local row = by_word[word or text]
  if row then
    return { row }, place ~= "" and place or nil, true
  end
  local fits = word and pattern.matcher(word)
  for _, one in ipairs(KINDS) do
    if word and fits(one[1]) and pattern.is_wild(word) and not (one.files and not options.pid) and not one.asked
      or not word and is_default(one, options) then
      rows[#rows + 1] = one
    end
  end
  if rows[1] then
    return rows, word and place or text, word ~= nil
  end
  local meant = kinds_near(word)
  if meant[1] then
    return nil, ("there is no kind of probe '%s' (near: %s)"):format(word, table.concat(meant, ", "))
  end
  for _, one in ipairs(KINDS) do
    rows[#rows + 1] = is_default(one, options) and one or nil
  end
  return rows, text, false
end

-- A function that tells whether a name is meant. A pattern without a kind may mean the section, the name, or the
-- name's last part.
local function matcher(row, place, has_kind, options)
  local module = module_of(row)
  if place and module.matcher then
    return module.matcher(row[1], place, options)
  end
  local plain = place and place:gsub(":", "/"):gsub("/+$", "") or "*"
  local fits = pattern.matcher(plain)
  local inside = pattern.matcher(plain .. "/*") -- a category, or an event without its period
  if has_kind then
    return function(name) return fits(name) or inside(name) end
  end
  local kind = row[1] .. "/"
  return function(name)
    return fits(name) or fits(name:match("[^/]*$")) or fits(kind .. name)
  end
end

local function make(row, name)
  return { section = row[1] .. "/" .. name, kind = row[1], name = name }
end

-- The names of which some may be meant. One that is written out is looked for alone: that takes a millisecond, where
-- all functions take half a second.
local function names_of(row, place, has_kind, options)
  local module = module_of(row)
  if place and has_kind and module.has and not pattern.is_wild(place) then
    local name = place:gsub(":", "/")
    local found = module.has(row[1], name, place, options)
    if found then
      return { found == true and name or found }
    end
  end
  return module.names(row[1], place or "*", options)
end

-- The probes that a pattern means, in order, each { section, kind, name }. Then a list of messages: what could not be
-- read. With the option pid, functions and USDT probes are those of the process's files. Nil and a message if the
-- pattern names a kind that doesn't exist.
function catalog.find(text, options)
  options = options or {}
  local rows, place, has_kind = split(text, options)
  if not rows then
    return nil, place
  end
  local found, problems = {}, {}
  for _, row in ipairs(rows) do
    local names, problem = names_of(row, place, has_kind, options)
    problems[#problems + 1] = problem
    local fits = #names > 0 and matcher(row, place, has_kind, options)
    for _, name in ipairs(names) do
      if fits(name) then
        found[#found + 1] = make(row, name)
      end
    end
  end
  return found, problems
end

-- Names that may be meant ---------------------------------------------------------------------------------------------

-- The names that begin or end as a word does. There are too many functions to compare them all.
local function alike(names, word)
  local list = {}
  for _, name in ipairs(names) do
    if math.abs(#name - #word) <= math.max(1, #word // 3)
      and (name:sub(1, 2) == word:sub(1, 2) or name:sub(-2) == word:sub(-2)) then
      list[#list + 1] = name
    end
  end
  return list
end

-- The categories of names, each once.
local function categories(names)
  local list, seen = {}, {}
  for _, name in ipairs(names) do
    local category = name:match("^([^/]+)/")
    if category and not seen[category] then
      seen[category], list[#list + 1] = true, category
    end
  end
  return list, seen
end

-- The names of a category that are near.
local function inside(names, category, word)
  local list, before = {}, category .. "/"
  for _, name in ipairs(names) do
    if name:sub(1, #before) == before then
      list[#list + 1] = name:sub(#before + 1)
    end
  end
  local meant = near.names(word, alike(list, word))
  for n, name in ipairs(meant) do
    meant[n] = before .. name
  end
  return meant
end

-- The places of a kind that are near to one that fits nothing.
local function places_near(names, place)
  local category, word = place:match("^([^/]+)/(.+)$")
  local known, has = categories(names)
  if category and known[1] then
    local meant = {}
    for _, one in ipairs(has[category] and { category } or near.names(category, known)) do
      local found = inside(names, one, word)
      table.move(found, 1, #found, #meant + 1, meant)
    end
    return meant
  end
  local meant = near.names(place, known)
  if meant[1] then
    return meant
  end
  local last, full = {}, {}
  for _, name in ipairs(names) do
    local short = name:match("[^/:]*$")
    last[#last + 1] = short
    full[short] = full[short] or name
  end
  meant = near.names(place, alike(last, place))
  for n, name in ipairs(meant) do
    meant[n] = full[name]
  end
  return meant
end

-- The sections that may be meant by a pattern that fits nothing.
function catalog.near(text, options)
  options = options or {}
  local rows, place = split(text, options)
  local sections = {}
  for _, row in ipairs(rows or {}) do
    local names = module_of(row).names(row[1], place or "*", options)
    local wanted = row.files and (place or ""):gsub("^.*:", "") or (place or ""):gsub(":", "/")
    local file = row.files and names[1] and names[1]:match("^(.-:)") or ""
    for n, name in ipairs(names) do
      names[n] = row.files and name:match("^.-:(.*)$") or name
    end
    for _, name in ipairs(places_near(names, wanted)) do
      sections[#sections + 1] = row[1] .. "/" .. file .. name
    end
    if #sections >= 4 then
      break
    end
  end
  return table.move(sections, 1, math.min(4, #sections), 1, {})
end

-- What is known of a probe -----------------------------------------------------------------------------------------

-- The arguments of a probe that `find` returned: a table of types by name, the type of the result, and the rows of
-- arguments in order and of the result, each { name, c, type }. Nil where they aren't known, and why.
function catalog.arguments(probe)
  local list, result = module_of(by_word[probe.kind]).arguments(probe.kind, probe.name)
  if not list then
    return nil, result
  end
  local by_name = {}
  for _, row in ipairs(list) do
    by_name[row.name] = row.type
  end
  return by_name, result and result.type, list, result
end

local asked = {}

-- Why this kernel can't attach a probe; nil if it can, or where this process may not ask. The kernel is asked once for
-- each kind.
function catalog.refusal(probe)
  local module = module_of(by_word[probe.kind])
  local key = module.each and probe.section or probe.kind
  if asked[key] == nil then
    asked[key] = module.refusal(probe.kind, probe.name) or false
  end
  return asked[key] or nil
end

return catalog
