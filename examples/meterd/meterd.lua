-- SPDX-License-Identifier: MIT
-- A daemon that counts the traffic of a cgroup by address. Its programs stay attached and its maps stay pinned when it
-- ends; the next run takes them over, and the counts go on. The guide's chapter docs/daemon.md explains it.
local bpf = require "bpf"

local USAGE <const> = [[
Usage: meterd.lua [options] CGROUP
Counts the traffic of a cgroup by address, and prints addresses that are new. Needs CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN.

  --pins DIR      a directory of its own on a bpffs (/sys/fs/bpf/meterd); its parent exists
  --metrics FILE  writes the counts into FILE every second, for node_exporter's textfile collector
  --remove        detaches the programs, removes the pins and ends; takes no CGROUP
  --help          show this text
]]

-- What a call returned, or its error, without a position in this file.
local function try(value, message)
  return value or error(message, 0)
end

local function misuse(message)
  io.stderr:write("meterd: ", message, "\n", USAGE)
  os.exit(2)
end

local function arguments(words)
  local options = { pins = "/sys/fs/bpf/meterd" }
  local i = 1
  while words[i] do
    local word = words[i]
    if word == "--help" or word == "-h" then
      io.write(USAGE)
      os.exit(0)
    elseif word == "--remove" then
      options.remove = true
    elseif word == "--pins" or word == "--metrics" then
      i = i + 1
      options[word:sub(3)] = words[i] or misuse(word .. ": a path expected")
    elseif word:find "^%-" or options.cgroup then
      misuse("not understood: " .. word)
    else
      options.cgroup = word
    end
    i = i + 1
  end
  if options.remove and options.cgroup then
    misuse "--remove takes no cgroup"
  elseif not options.remove and not options.cgroup then
    misuse "which cgroup?"
  end
  return options
end

-- A cgroup's id, which is the number of its inode.
local function inode(cgroup)
  local pipe <close> = try(io.popen("stat -c %i '" .. cgroup:gsub("'", "'\\''") .. "' 2>/dev/null"))
  return try(pipe:read "n", cgroup .. ": no such cgroup")
end

-- Attaches a program to the cgroup, by the link that an earlier run pinned if there is one. Returns the link, and
-- whether it was taken over.
local function attach(prog, cgroup, pin)
  local link, message, code = bpf.link.open(pin)
  if not link and code ~= "ENOENT" then
    error(message, 0)
  elseif link and try(link:info()).cgroup_id == inode(cgroup) then
    try(link:update(prog)) -- atomic: no packet passes uncounted
    return link, true
  elseif link then -- it is that of another cgroup, or of one that has been removed
    link:detach()
    try(os.remove(pin))
  end
  link = try(prog:attach_cgroup(cgroup))
  try(link:pin(pin))
  return link, false
end

-- Detaches what is pinned, and removes the pins.
local function remove(dir)
  for _, name in ipairs { "link_receive", "link_send" } do
    local link = bpf.link.open(dir .. "/" .. name)
    if link then
      link:detach()
    end
  end
  for _, name in ipairs { "/link_receive", "/link_send", "/peers", "/news", "" } do
    local ok, message, code = os.remove(dir .. name)
    if not ok and code ~= 2 then -- ENOENT
      error(message, 0)
    end
  end
end

local function metrics_of(peers)
  local metrics = bpf.metrics.new { prefix = "meterd", on_error = function(message) io.stderr:write(message, "\n") end }
  for _, direction in ipairs { "sent", "received" } do
    metrics:counter {
      name = direction, unit = "bytes", help = "Bytes " .. direction .. ", by address.", map = peers, value = direction,
      labels = { { "address", decode = "ip" } },
    }
  end
  return metrics
end

local function main(options)
  local dir = options.pins
  if options.remove then
    return remove(dir)
  end
  local signals <close> = try(bpf.signals("INT", "TERM"))
  local here = arg[0]:match "^(.*/)" or ""
  local obj <close> = try(bpf.load(here .. "meterd.bpf.o", { pin_root = dir }))
  local _, received = attach(obj.progs.receive, options.cgroup, dir .. "/link_receive")
  local _, sent = attach(obj.progs.send, options.cgroup, dir .. "/link_send")
  print(received and sent and "took over from an earlier run" or "attached")

  local news <close> = try(bpf.ringbuf(obj.maps.news, "struct peer", function(peer)
    print("new: " .. bpf.format.ip(peer.address))
  end))
  local metrics = metrics_of(obj.maps.peers)
  local written
  repeat
    try(news:poll(1000))
    if options.metrics and os.time() ~= written then
      try(metrics:write_file(options.metrics))
      written = os.time()
    end
  until signals:poll(0)
end

io.stdout:setvbuf "line"
local ok, message = pcall(main, arguments(arg))
if not ok then
  io.stderr:write("meterd: ", tostring(message), "\n")
end
os.exit(ok, true)
