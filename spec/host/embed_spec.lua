-- SPDX-License-Identifier: MIT
-- C hosts: each function of lbpf.h, called by a host of its own, and the daemon in examples/embed.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local kinds = require "spec.support.kinds"

local core = assert(package.searchpath("bpf.core", package.cpath))
local build = core:match "^(.*)/bpf/core%.so$"

-- Runs a host that can find no file of the library's.
local function host(name, arguments)
  return helper.run(("LUA_PATH=/nowhere LUA_CPATH=/nowhere LBPF_MODULE=%s %s/hosts/%s %s"):format(core, build, name,
    arguments or ""))
end

describe("a host", function()
  local what = {
    opening = "opens the library without a file of it, once or twice, and is told what is missing",
    another_copy = "is told of another copy of the library in the state",
    version = "knows the version",
    map_by_fd = "lends or gives away a map by its descriptor",
    map_of_libbpf = "lends a map of libbpf's",
    object_loaded = "lends an object that is loaded",
    object_not_loaded = "lends an object that scripts load, or it does itself meanwhile",
    object_reusing = "lends an object that uses other maps than its own",
    object_kinds = "lends an object with maps of kinds that have no BTF",
    forking = "forks, and its child's end detaches nothing that it doesn't close",
    object_resized = "lends an object and changes the size of its sections before the load",
    object_retyped = "lends an object and changes a map's type before the load",
    object_owned = "gives an object away",
    programs = "lends programs, and gives away descriptors of programs",
    links = "lends and gives away links",
    type_errors = "gets handles back, and errors for what is none or closed",
    values = "turns bytes into values and back",
    process = "keeps its limits, signals and libbpf's messages",
    no_memory = "doesn't panic and loses nothing when any allocation fails",
  }
  local unprivileged = { opening = true, another_copy = true, version = true, values = true }

  for name in assert(helper.run(build .. "/hosts/embed")):gmatch "%S+" do
    it(assert(what[name], name), function()
      if not unprivileged[name] and not kernel.is_root() then
        helper.skip "needs root"
      elseif not unprivileged[name] then
        kinds.need_all_of(helper.obj "execsnoop")
      end
      local output, ok = host("embed", name)
      assert(ok, output)
    end)
  end
end)

describe("eight threads, each with a state of its own", function()
  it("share maps and an object, and have their own messages of libbpf's", function()
    if not kernel.is_root() then
      helper.skip "needs root"
    end
    local output, ok = host("threads", 3)
    assert(ok, output)
    assert.equal("", output)
  end)
end)

describe("examples/embed", function()
  local policyd = build .. "/policyd"

  local function write(path, text)
    local file <close> = assert(io.open(path, "w"))
    file:write(text)
  end

  local function need_root()
    if not kernel.is_root() then
      helper.skip "needs root"
    end
    kinds.need_all_of "examples/embed/policyd.bpf.o"
  end

  it("explains itself", function()
    local output, ok = helper.run(policyd .. " --help")
    assert(ok and output:find "^Usage: policyd POLICY.lua\n", output)
    for _, arguments in ipairs { "", "--foo", "a b" } do
      local text, _, code = helper.run(policyd .. " " .. arguments)
      assert.equal(2, code)
      assert(text:find "^Usage:", text)
    end
  end)

  it("has a policy that works", function()
    need_root()
    local name = "lbpf" .. helper.pid -- others execute programs meanwhile
    local program = helper.tmpdir() .. "/" .. name
    helper.run("cp /bin/true " .. program)
    local output, ok = helper.interrupt(policyd .. " examples/embed/policy.lua",
      ([[grep -q '^policy loaded' $out && %s && grep -q '^%s is new' $out]]):format(program, name))
    assert(ok, output)
    assert(output:find("\n" .. name .. " is new: pid %d+, user 0\n") and output:find "\n0 records lost\n$", output)
  end)

  it("refuses to start with a faulty policy", function()
    need_root()
    local path = helper.tmpdir() .. "/policy.lua"
    write(path, "return 1")
    local output, _, code = helper.run(policyd .. " " .. path)
    assert.equal(1, code)
    assert(output:find "policy.lua returns no function\n$", output)
  end)

  it("loads a policy anew on SIGHUP, keeps the counts, and keeps the policy if the new one is faulty", function()
    need_root()
    local dir = helper.tmpdir()
    local probe = "lbpf" .. helper.pid
    for i, text in ipairs {
      'return function(e) if e.comm == "PROBE" then return "one " .. e.count end end',
      'local n = (...).maps.counts.PROBE; print("kept " .. n)\n' ..
        'return function(e) if e.comm == "PROBE" then return "two " .. e.count end end',
      "return function() end end",
      'error "on purpose"',
      'print "last"; return function(e) if e.comm == "PROBE" then error "each time" end end',
    } do
      write(("%s/%d.lua"):format(dir, i), (text:gsub("PROBE", probe)))
    end
    local output, ok = helper.run(([[
      daemon=$(realpath %s)
      cd %s; cp /bin/true %s; cp 1.lua policy.lua
      >out
      $daemon policy.lua >>out 2>&1 & pid=$!
      await() { for i in $(seq 300); do grep -q "$1" out && return; sleep 0.01; done; echo "no $1"; }
      load() { cp "$1" policy.lua; kill -HUP $pid; await "$2"; }
      await 'policy loaded'
      ./%s; ./%s; await 'one 2'
      load 2.lua 'kept 2'
      ./%s; await 'two 3'
      load 3.lua 'expected near'
      load 4.lua 'on purpose'
      ./%s; await 'two 4'
      load 5.lua last
      ./%s; await 'each time'
      kill $pid; wait $pid; echo "status $?"; cat out]]):format(policyd, dir, probe, probe, probe,
      probe, probe, probe))
    assert(ok, output)
    assert.equal(([[
status 0
policy loaded
one 1
one 2
kept 2
policy loaded
two 3
policyd: policy.lua:1: <eof> expected near 'end'
the policy stays as it was
policyd: policy.lua:1: on purpose
the policy stays as it was
two 4
last
policy loaded
policyd: policy.lua:1: each time
0 records lost
]]), output)
  end)
end)
