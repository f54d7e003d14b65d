-- SPDX-License-Identifier: MIT
-- What the running kernel is, and which tests it excuses. `local kernel = require "spec.support.kernel"`.
local bpf = require "bpf"
local helper = require "spec.helper"
local kinds = require "spec.support.kinds"

local kernel = {}

local function read(path)
  local file <close> = io.open(path)
  return file and file:read("a")
end

local function parse(version)
  local major, minor = version:match("^(%d+)%.(%d+)")
  assert(major, "not a kernel version: " .. version)
  return math.tointeger(major), math.tointeger(minor)
end

--- The running kernel's release, as `uname -r` prints it.
kernel.release = read("/proc/sys/kernel/osrelease"):match("%S+")

--- The running kernel's version: major, minor.
function kernel.version()
  return parse(kernel.release)
end

--- Whether the running kernel is older than a version.
function kernel.before(version)
  local major, minor = kernel.version()
  local need_major, need_minor = parse(version)
  return major < need_major or major == need_major and minor < need_minor
end

--- Whether the running kernel is the version or a newer one.
function kernel.at_least(version)
  return not kernel.before(version)
end

--- Skips the test, or all of the describe or file it is called in, on kernels older than the one that brought a
-- feature. On any other kernel the feature has to work: if it doesn't, that is a failure and no reason to skip.
function kernel.need(feature, version)
  if kernel.before(version) then
    helper.skip(("%s: needs Linux %s, this is %s"):format(feature, version, kernel.release))
  end
end

--- Whether this libbpf is older than the version.
function kernel.libbpf_before(version)
  local major, minor = parse(bpf.libbpf_version:match("%d+%.%d+"))
  local other_major, other_minor = parse(version)
  return major < other_major or major == other_major and minor < other_minor
end

--- Skips the test, or all of the describe or file it is called in, on a libbpf older than that which has a feature.
function kernel.libbpf(feature, version)
  if kernel.libbpf_before(version) then
    helper.skip(("%s: needs libbpf %s, this is %s"):format(feature, version, bpf.libbpf_version))
  end
end

--- Whether the specs may use root's powers; `make check` sets LBPF_UNPRIVILEGED to do without them.
function kernel.is_root()
  local uid = read("/proc/self/status"):match("Uid:%s*%d+%s+(%d+)")
  return uid == "0" and (os.getenv "LBPF_UNPRIVILEGED" or "") == ""
end

--- Skips the test, or all of the describe or file it is called in, without root.
function kernel.root()
  if not kernel.is_root() then
    helper.skip("needs root")
  end
end

-- Loads an object without the programs that `leaves_out` says yes to.
local function load_without(path, options, leaves_out)
  local obj, message, code, log = bpf.open(path, options)
  if not obj then
    return nil, message, code, log
  end
  for _, prog in pairs(obj.progs) do
    if prog:autoload() and leaves_out(prog) then
      prog:autoload(false)
    end
  end
  local ok
  ok, message, code, log = obj:load()
  if not ok then
    obj:close()
    return nil, message, code, log
  end
  return obj
end

local function is_unknown(prog)
  return prog:type() == "syscall" and kernel.before("5.14")
end

--- bpf.load of an object that has programs of several kinds: those that this kernel doesn't take are left out. These
-- are of type syscall before 5.14, and of kinds that it refuses. What is tested with them asks `kernel.need` or
-- `kinds.need`.
function kernel.load(path, options)
  local obj, message, code, log = load_without(path, options, is_unknown)
  if not obj and kinds.unverified(code, log or "") then
    return load_without(path, options, function(prog) return is_unknown(prog) or kinds.refused(prog:section()) end)
  end
  return obj, message, code, log
end

local config

--- How the kernel was configured: "y", "m", "n" or the option's text; nil when the kernel doesn't tell.
function kernel.config(option)
  if not config then
    local zcat <close> = io.popen("zcat /proc/config.gz 2>/dev/null")
    config = zcat:read("a")
    if config == "" then
      config = read("/boot/config-" .. kernel.release) or ""
    end
    config = "\n" .. config
  end
  if config == "\n" then
    return nil
  end
  return config:match("\n" .. option .. "=([^\n]*)") or "n"
end

return kernel
