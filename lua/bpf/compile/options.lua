-- SPDX-License-Identifier: MIT
-- The options of bpf.compile.

local error = require("bpf.base.argument").error
local number_text = require("bpf.base.number").text
local posix = require("bpf.base.posix")

-- Raises unless the text can be an argument of a command.
local function check_word(what, text, level)
  if type(text) ~= "string" then
    error(("bpf.compile: %s must be a string, got %s"):format(what, type(text)), level + 1)
  elseif text:find("\0", 1, true) then
    error(("bpf.compile: %s holds a NUL"):format(what), level + 1)
  end
  return text
end

-- A sequence of strings out of one string or a sequence of them.
local function words(what, value, level)
  local list = {}
  if type(value) == "table" then
    for i = 1, #value do
      list[i] = check_word(what .. "[" .. i .. "]", value[i], level + 1)
    end
  elseif value ~= nil then
    list[1] = check_word(what, value, level + 1)
  end
  return list
end

-- "-DNAME=value" out of { NAME = value, "NAME", "NAME=value" }, in an order that is always the same.
local function definitions(value, level)
  local list = {}
  if type(value) ~= "table" then
    value = { value }
  end
  for name, as in pairs(value) do
    if math.type(name) == "integer" then
      list[#list + 1] = "-D" .. check_word("defines[" .. name .. "]", as, level + 1)
    elseif as == true then
      list[#list + 1] = "-D" .. check_word("a name in defines", name, level + 1)
    elseif as ~= false then
      as = math.type(as) and number_text(as) or as
      list[#list + 1] = ("-D%s=%s"):format(check_word("a name in defines", name, level + 1),
        check_word("defines." .. name, as, level + 1))
    end
  end
  table.sort(list)
  return list
end

-- What libbpf's bpf_tracing.h calls an architecture, by that name and by uname's.
local ARCHES = {
  x86_64 = "x86", i386 = "x86", i686 = "x86", x86 = "x86", aarch64 = "arm64", arm64 = "arm64", armv7l = "arm",
  arm = "arm", s390x = "s390", s390 = "s390", ppc64 = "powerpc", ppc64le = "powerpc", powerpc = "powerpc",
  riscv64 = "riscv", riscv = "riscv", mips = "mips", mips64 = "mips", sparc64 = "sparc", sparc = "sparc",
  loongarch64 = "loongarch", loongarch = "loongarch", arc = "arc",
}

local OPTIONS = {
  cache = true, cflags = true, defines = true, file = true, include = true, name = true, target = true,
}

-- The options out of the arguments of bpf.compile.
local function choose(source, options, level)
  if type(source) == "table" then
    options = source
    if type(rawget(options, "file")) ~= "string" then
      error("bpf.compile: the table must have the field 'file', the path of a C file", level + 1)
    end
  elseif type(source) ~= "string" then
    error(("bad argument #1 to 'compile' (string expected, got %s)"):format(type(source)), level + 1)
  elseif options ~= nil and type(options) ~= "table" then
    error(("bad argument #2 to 'compile' (table expected, got %s)"):format(type(options)), level + 1)
  elseif options and options.file ~= nil then
    error("bpf.compile: option 'file' is given beside C text", level + 1)
  end
  return options or {}
end

-- Checks the arguments of bpf.compile, and returns the options in the form that the rest wants.
local function read_options(source, options, level)
  options = choose(source, options, level + 1)
  for name in pairs(options) do
    if not OPTIONS[name] then
      error(("bpf.compile: there is no option '%s' (options: cache, cflags, defines, file, include, name, target)")
        :format(tostring(name)), level + 1)
    end
  end
  local target = options.target
  if target ~= nil and not ARCHES[check_word("option 'target'", target, level + 1)] then
    local names, seen = {}, {}
    for _, name in pairs(ARCHES) do
      names[#names + 1] = not seen[name] and name or nil
      seen[name] = true
    end
    table.sort(names)
    error(("bpf.compile: target '%s' is unknown (one of: %s)"):format(target, table.concat(names, ", ")), level + 1)
  end
  if options.cache ~= nil and type(options.cache) ~= "boolean" then
    error(("bpf.compile: option 'cache' must be true or false, got %s"):format(type(options.cache)), level + 1)
  end
  return {
    cache = options.cache,
    file = options.file ~= nil and check_word("option 'file'", options.file, level + 1) or nil,
    name = options.name ~= nil and check_word("option 'name'", options.name, level + 1) or nil,
    target = ARCHES[target] or ARCHES[posix.machine()] or posix.machine(),
    include = words("include", options.include, level + 1),
    cflags = words("cflags", options.cflags, level + 1),
    defines = definitions(options.defines, level + 1),
  }
end

return read_options
