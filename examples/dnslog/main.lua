-- SPDX-License-Identifier: MIT
-- Shows each answer to a DNS question over UDP: who asked, what, whom, and how long the answer took. The programs hand
-- over the answer as it was sent; string.unpack takes it apart.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser "Shows answers to DNS questions. Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--cgroup", "watch only the members of this cgroup, and of those below it"):argname "PATH":init ""
parser:option("--port", "where DNS servers listen", "53"):argname("N"):convert(common.count)
parser:option("--name", "show only names that contain this"):argname "TEXT":init ""
parser:flag("--failed", "show only answers without a result", false)
parser:flag("--json", "print a JSON object per answer", false)
local options = parser:parse()

local TYPES <const> = { [1] = "A", [2] = "NS", [5] = "CNAME", [6] = "SOA", [12] = "PTR", [15] = "MX", [16] = "TXT",
  [28] = "AAAA", [33] = "SRV", [64] = "SVCB", [65] = "HTTPS", [255] = "ANY" }
local RESULTS <const> = { [0] = "ok", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" }

-- The name at a position, and the position behind it. Its end may be elsewhere, where two bits of a size are set.
local function name_at(message, at)
  local labels, behind = {}, nil
  for _ = 1, 128 do -- a damaged name may go round in circles
    local size = (">B"):unpack(message, at)
    if size == 0 then
      break
    elseif size >= 0xc0 then
      behind, at = behind or at + 2, ((">I2"):unpack(message, at) & 0x3fff) + 1
    else
      labels[#labels + 1], at = (">s1"):unpack(message, at)
    end
  end
  return table.concat(labels, "."), behind or at + 1
end

-- Name, type, result and addresses. Raises an error where the message is too short.
local function decode(message)
  local flags, _, count = (">I2I2I2"):unpack(message, 3)
  local name, at = name_at(message, 13)
  local kind, addresses = (">I2"):unpack(message, at), {}
  at = at + 4
  for _ = 1, count do
    local type, data
    type, at = (">I2"):unpack(message, select(2, name_at(message, at)))
    data, at = (">s2"):unpack(message, at + 6)
    addresses[#addresses + 1] = (type == 1 or type == 28) and bpf.format.ip(data) or nil
  end
  return name, TYPES[kind] or kind, RESULTS[flags & 15] or flags & 15, table.concat(addresses, " ")
end

common.main(function()
  local obj <close> = common.load { vars = { port = options.port } }
  local row = bpf.format.columns({
    { name = "PID", width = 7, align = "right" }, { name = "COMMAND", width = 16 }, { name = "SERVER", format = "ip" },
    { name = "TIME", format = "duration" }, { name = "TYPE", width = 5 }, { name = "RESULT", width = 8 },
    { name = "NAME", width = 30 }, { name = "ADDRESSES" },
  }, { output = options.json and "json" or "text" })
  local events <close> = common.try(bpf.ringbuf(obj.maps.answers, "struct answer", function(e)
    local ok, name, kind, result, addresses = pcall(decode, e.message:sub(1, e.size))
    name = ok and name or "?"
    if name:find(options.name, 1, true) and not (options.failed and result == "ok") then
      row(e.pid, e.comm, e.server, e.ns, kind, result, name, addresses)
    end
  end))
  local group = options.cgroup ~= "" and options.cgroup or common.try(common.cgroup2(), "cgroup2 isn't mounted")
  for _, prog in pairs(obj.progs) do
    common.try(prog:attach_cgroup(group))
  end
  io.stderr:write(("Watching for %g s; Ctrl-C ends it\n"):format(options.seconds))
  row()
  common.poll(events, options.seconds)
  io.stderr:write(("%d questions, %d of them without an answer%s\n"):format(obj.vars.asked, #obj.maps.questions,
    obj.vars.lost > 0 and (", %d answers not shown"):format(obj.vars.lost) or ""))
end)
