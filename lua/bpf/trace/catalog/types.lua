-- SPDX-License-Identifier: MIT
-- The types of arguments, as bodies of one-liners see them: plain tables. A C type and a name tell what a number means.

local types = {}

types.UNKNOWN = { kind = "unknown" }

-- What the numbers of a C type mean.
local BY_TYPE <const> = {
  pid_t = "pid", __kernel_pid_t = "pid", uid_t = "uid", kuid_t = "uid", __kernel_uid32_t = "uid",
}

-- What numbers of these names mean in all probes.
local BY_NAME <const> = {
  pid = "pid", tid = "tid", tgid = "pid", ppid = "pid", uid = "uid", sport = "port", dport = "port",
  errno = "errno", sig = "signal", signr = "signal", __syscall_nr = "syscall",
}

-- An integer, by its C type and its name.
function types.integer(c, name)
  local plain = c:gsub("^const ", "")
  local meaning = plain:match("^enum [A-Za-z_0-9]+$") or BY_TYPE[plain] or BY_NAME[name]
    or name:find("_pid$") and "pid" or nil
  return { kind = "integer", meaning = meaning }
end

-- A pointer, by its C type: to a struct or to text; any other one is an address.
function types.pointer(c, space)
  local target = c:gsub("^const ", ""):match("^([^*]-) ?%*$")
  target = target and target:gsub(" const$", "")
  if target and (target == "char" or target:find("^struct ") or target:find("^union ")) then
    return { kind = "pointer", type = target, space = space }
  end
  return { kind = "integer", meaning = space == "user" and "user address" or "kernel address" }
end

-- A row of the list of arguments.
function types.row(name, c, type)
  return { name = name, c = c, type = type }
end

return types
