-- SPDX-License-Identifier: MIT
-- The objects that bpf.compile keeps: a file for each text and set of words for clang, with what it depends on besides.

local clang = require("bpf.compile.clang")
local core = require("bpf.core")
local folder = require("bpf.compile.folder")
local headers = require("bpf.compile.headers")
local posix = require("bpf.base.posix")
local vmlinux = require("bpf.compile.vmlinux")

local cache = {}

-- Variables by which clang, or the loader that starts it, is told what to read.
local VARIABLES <const> = {
  "PATH", "CPATH", "C_INCLUDE_PATH", "CCC_OVERRIDE_OPTIONS", "CCC_ADD_ARGS", "COMPILER_PATH", "GCC_EXEC_PREFIX",
  "LD_LIBRARY_PATH", "LD_PRELOAD", "SOURCE_DATE_EPOCH",
}

-- Words that make clang neither read nor write anything but headers and the object: patterns of words, and words that
-- another one follows. What comes of other words isn't kept.
local PLAIN <const> = {
  "^%-[DU].", "^%-I.", "^%-O[0-3sz]?$", "^%-g[0-5]?$", "^%-gdwarf%-[2-5]$", "^%-w$", "^%-W[a-z0-9+=-]*$", "^%-pedantic",
  "^%-std=", "^%-mcpu=v[0-9]$", "^%-m[a-z]+%-endian$", "^%-mno%-[a-z0-9-]+$", "^%-malu32$", "^%-nostdinc$",
  "^%-fno%-[a-z-]+$", "^%-f[a-z-]+%-prefix%-map=", "^%-fms%-extensions$", "^%-funroll%-loops$", "^%-fwrapv$",
  "^%-fshort%-enums$", "^%-finline%-[a-z-]+$", "^%-bpf%-[a-z-]+",
}
local PAIRS <const> = {
  ["-D"] = true, ["-U"] = true, ["-I"] = true, ["-include"] = true, ["-isystem"] = true, ["-idirafter"] = true,
  ["-iquote"] = true,
}

-- Whether clang's words make nothing but an object.
local function is_plain(words)
  local i = 1
  while i <= #words do
    local plain = PAIRS[words[i]] ~= nil
    i = i + (plain and 1 or 0) -- its other word
    for _, pattern in ipairs(plain and {} or PLAIN) do
      plain = plain or words[i]:find(pattern) ~= nil
    end
    if words[i] == "-mllvm" then
      plain = (words[i + 1] or ""):find("^%-bpf%-") ~= nil
    end
    if not plain then
      return false
    end
    i = i + 1
  end
  return true
end

-- The folder, or nil where nothing is to be kept, as the option or the environment says.
function cache.folder(option)
  return option ~= false and (os.getenv("LUA_BPF_NO_CACHE") or "") == "" and folder.path() or nil
end

-- The file of a job, or nil where it isn't kept. A job has the program, its words, the text and the folder. `cflags`
-- are the words that the caller gave.
function cache.path(job, cflags)
  local compiler = job.folder and is_plain(cflags) and posix.identity(job.program)
  if not compiler then
    return nil
  end
  local parts = { core._VERSION, core.libbpf_version, posix.machine(), compiler, posix.resolve(".") or "",
    vmlinux.identity() or "", job.text }
  for _, name in ipairs(VARIABLES) do
    parts[#parts + 1] = os.getenv(name) or ""
  end
  table.move(job.words, 1, #job.words, #parts + 1, parts)
  for i, part in ipairs(parts) do
    parts[i] = string.pack("s4", part)
  end
  return job.folder .. "/object-" .. posix.digest(table.concat(parts))
end

-- An entry is a line with the digest of the rest, and then sequences of strings.
local HEAD <const> = "lua-bpf object 1 %s\n"
local FIELDS <const> = { "about", "read", "missing", "result" }

local function packed(entry)
  local parts = {}
  for _, name in ipairs(FIELDS) do
    local list = entry[name]
    parts[#parts + 1] = string.pack("I4", #list)
    for _, text in ipairs(list) do
      parts[#parts + 1] = string.pack("s4", text)
    end
  end
  local rest = table.concat(parts)
  return HEAD:format(posix.digest(rest)) .. rest
end

-- A sequence out of an entry, and where it ends.
local function list_at(text, at)
  local list, count = {}, string.unpack("I4", text, at)
  at = at + 4
  for i = 1, count do
    list[i], at = string.unpack("s4", text, at)
  end
  return list, at
end

local function unpacked(text)
  local rest = text:match("^[^\n]*\n(.*)$")
  if not rest or text:sub(1, #text - #rest) ~= HEAD:format(posix.digest(rest)) then
    return nil
  end
  local entry, at = {}, 1
  for _, name in ipairs(FIELDS) do
    entry[name], at = list_at(rest, at)
  end
  return entry
end

-- The entry, if it still holds: `result` has the object's bytes and clang's warnings.
function cache.find(path)
  local text = posix.read_private(path)
  local entry = text and unpacked(text)
  if not entry or posix.identity(entry.about[2]) ~= entry.about[3]
    or not headers.are_same(entry.read, entry.missing) then
    return nil
  end
  posix.touch(path)
  return entry
end

-- Keeps what came of a job that began at a time. What can't be kept is made anew each time.
function cache.store(path, job, began, bytes, warnings)
  local about = clang.about(job)
  local compiler = about and posix.identity(about.compiler)
  if not compiler then
    return
  end
  local read, missing = headers.look(job, about.search, began)
  if not read then
    return
  end
  local entry = { about = { about.version, about.compiler, compiler }, read = read, missing = missing,
    result = { bytes, warnings } }
  if posix.write_private(path, packed(entry)) then
    folder.tidy(job.folder)
  end
end

return cache
