-- SPDX-License-Identifier: MIT
-- The headers on which an object depends: what was read, and where clang looked in vain. A header that appears there
-- later would be read instead.

local files = require("bpf.compile.files")
local posix = require("bpf.base.posix")
local sorted = require("bpf.base.sorted")

local headers = {}

-- The files of a rule for make, as clang writes it.
local function listed(text)
  local list = {}
  text = text:gsub("^[^\n]-: ", "", 1):gsub("\\\n", "\n"):gsub("\\ ", "\1")
  for word in text:gmatch("[^ \n]+") do
    list[#list + 1] = word:gsub("\1", " "):gsub("\\#", "#"):gsub("%$%$", "$")
  end
  return list
end

-- Macros whose value changes by itself, and a file that clang doesn't list.
local FLEETING <const> = { "__DATE__", "__TIME__", "__TIMESTAMP__", ".incbin" }

local MENTIONS <const> = {
  '#[ \t]*include[ \t]*["<]([^">\n]+)[">]', '#[ \t]*include_next[ \t]*["<]([^">\n]+)[">]',
  '#[ \t]*import[ \t]*["<]([^">\n]+)[">]', '__has_include[ \t]*%([ \t]*["<]([^">\n]+)[">]',
  '__has_include_next[ \t]*%([ \t]*["<]([^">\n]+)[">]',
}

-- Adds the names of headers that a text mentions. Returns false if what comes of the text may differ each time.
local function mentioned(text, names)
  for _, word in ipairs(FLEETING) do
    if text:find(word, 1, true) then
      return false
    end
  end
  for _, pattern in ipairs(MENTIONS) do
    for name in text:gmatch(pattern) do
      names[name] = true
    end
  end
  return true
end

-- The paths at which one of the names could be in one of the directories, and is not; nil if one came since a time.
local function absent(names, directories, read, began)
  local paths = {}
  for _, name in ipairs(sorted.keys(names)) do
    for _, directory in ipairs(sorted.keys(directories)) do
      local path = name:sub(1, 1) == "/" and name or directory .. "/" .. name
      local found, changed = posix.is_file(path)
      if not found then
        paths[path] = true
      elseif changed >= began and not read[path] then
        return nil
      end
    end
  end
  return sorted.keys(paths)
end

-- The name of a path below each of the directories that are above it: by that it may have been included.
local function names_below(path, directories, names)
  for directory in pairs(directories) do
    if path:sub(1, #directory + 1) == directory .. "/" then
      names[path:sub(#directory + 2)] = true
    end
  end
end

-- Looks at the headers of a job that began at a time by posix.file_clock; `search` has the directories in which clang
-- looks. vmlinux.h of ours is known by its identity, because only we write it. Returns the headers, each followed by
-- its digest or identity, and the paths at which nothing was; nil if a header may have changed meanwhile, or has text
-- whose meaning changes.
function headers.look(job, search, began)
  local names, directories, read, paths = {}, { ["."] = true }, {}, {} -- -include looks in the working directory first
  local dir, own = job.dir, job.vmlinux and job.vmlinux .. "/vmlinux.h"
  local rule = files.read(dir .. "/object.d")
  if not rule or not mentioned(job.text, names) then
    return nil
  end
  for _, directory in ipairs(search) do
    directories[directory] = true
  end
  for _, path in ipairs(listed(rule)) do
    if path:sub(1, #dir + 1) ~= dir .. "/" then
      paths[#paths + 1] = path
      directories[path:match("^(.*)/") or "."] = true
    elseif path ~= dir .. "/source.c" then
      return nil
    end
  end
  for _, path in ipairs(paths) do
    local mark, changed = posix.identity(path), began - 1
    if path ~= own then
      mark, changed = posix.file_digest(path)
    end
    if not mark or changed >= began or path ~= own and not mentioned(files.read(path) or "__TIME__", names) then
      return nil
    end
    table.move({ path, mark }, 1, 2, #read + 1, read)
    read[path] = true
    names_below(path, directories, names)
  end
  local missing = absent(names, directories, read, began)
  return missing and read, missing
end

-- Whether all headers are as they were, and no others have come.
function headers.are_same(read, missing)
  for i = 1, #read, 2 do
    local path, mark = read[i], read[i + 1]
    local now = mark:find(" ", 1, true) and posix.identity(path) or posix.file_digest(path)
    if now ~= mark then
      return false
    end
  end
  for _, path in ipairs(missing) do
    if posix.is_file(path) then
      return false
    end
  end
  return true
end

return headers
