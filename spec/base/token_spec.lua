-- SPDX-License-Identifier: MIT
-- BPF tokens: what a bpffs delegates to the user namespace of a container.
local bpf = require("bpf")

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

local CALLS, PACKETS = helper.obj("calls"), helper.obj("packets")
local DIR = helper.tmpdir() -- where each container has its own bpffs
local EVERYTHING = "delegate_cmds=any,delegate_maps=any,delegate_progs=any,delegate_attachs=any"

-- Checks nil, message, code: the message has the cause.
local function fails(code, cause, result, message, got)
  assert.same({ n = 2, nil, code }, { n = 2, result, got }, message)
  assert.matches(cause, message, 1, true)
end

-- Runs Lua as in a container, where `dir` is a bpffs that delegates what the options say, and `fails` as above;
-- `around` is a command that runs Lua there.
local function container(options, code, around)
  local output, ok, status = helper.run(("DIR=%s exec build/support/delegate %s %s %s %s -e %s"):format(DIR,
    helper.quote(options), DIR, around or "", helper.LUA, helper.quote([[
      local bpf, dir = require "bpf", os.getenv "DIR"
      local map = bpf.map
      local function fails(code, cause, result, message, got)
        assert(result == nil and got == code and message:find(cause, 1, true), message)
      end
      local function raises(cause, fn, ...)
        local ok, message = pcall(fn, ...)
        assert(not ok and message:find(cause, 1, true), message)
      end
    ]] .. code)))
  if status == 77 then
    helper.skip("this machine can't delegate to a user namespace: " .. output)
  end
  assert(ok, output)
  assert.equal("", output)
end

describe("a BPF token", function()
  kernel.root()

  it("is what kernels before 6.9 have none of", function()
    if kernel.at_least("6.9") then
      helper.skip("this kernel has BPF tokens")
    end
    fails("EINVAL", "token '/sys/fs/bpf': BPF tokens need Linux 6.9 (EINVAL)", bpf.token("/sys/fs/bpf"))
  end)

  it("is of a bpffs, for a user namespace", function()
    kernel.need("BPF tokens", "6.9")
    fails("EOPNOTSUPP", "token '/sys/fs/bpf': this process is in the initial user namespace", bpf.token("/sys/fs/bpf"))
    fails("EINVAL", "it is a folder of a bpffs, not its root", bpf.token(helper.bpffs()))
    fails("EINVAL", "it is no bpffs", bpf.token(DIR))
    fails("ENOENT", "No such file or directory", bpf.token(DIR .. "/absent"))
    fails("ENOTDIR", "Not a directory", bpf.token(CALLS))
    assert.matches("^spec/base/token_spec%.lua:", helper.raises(function() bpf.token("/sys\0") end, "NUL"))
    helper.raises(function() bpf.token() end, "bad argument #1 to 'token'")
  end)

  it("isn't what map.create takes for one", function()
    local message = helper.raises(function() map.create { type = "array", token = "/sys/fs/bpf" } end,
      "option 'token' must be a token of bpf%.token, got string")
    assert.matches("^spec/base/token_spec%.lua:", message)
  end)

  it("makes maps in a container, which refuses them and objects without one", function()
    kernel.need("BPF tokens", "6.9")
    container(EVERYTHING, ([[
      fails("EPERM", "in a user namespace it takes a BPF token", bpf.load(%q))
      local options = { type = "hash", key = "u32", value = "struct v { int a; }", max_entries = 4, name = "mine" }
      fails("EPERM", "in a user namespace it takes a BPF token: bpf.token, and option 'token'", map.create(options))
      options.token = assert(bpf.token(dir))
      local m = assert(map.create(options))
      m[1] = { a = 3 }
      assert(m[1].a == 3)
      local info = map.info(m)
      assert(info.name == "mine" and info.btf_id > 0 and not info.flags)
      local outer = assert(map.create { type = "array_of_maps", max_entries = 2, token = options.token,
        inner = { type = "array", value = "u32", max_entries = 1 } })
      outer[0] = assert(map.create { type = "array", value = "u32", max_entries = 1, token = options.token })
      options.name = "longer_than_names_are"
      assert(map.info(map.create(options)).name == "longer_than_nam")
      options.max_entries = 0
      fails("EINVAL", "max_entries must be greater than 0", map.create(options))
    ]]):format(CALLS))
  end)

  it("is closed when it is no longer needed, and what was made by it stays", function()
    kernel.need("BPF tokens", "6.9")
    container(EVERYTHING, [[
      local token = assert(bpf.token(dir))
      local options = { type = "array", value = "u32", max_entries = 1, token = token }
      local m = assert(map.create(options))
      do
        local file <close> = assert(io.open("/proc/self/fdinfo/" .. token:fd()))
        assert(file:read("a"):find("allowed_cmds:\tany", 1, true))
      end
      assert(tostring(token) == ("bpf.token: (fd %d)"):format(token:fd()))
      local fd = token:fd()
      assert(token:close() and token:close())
      assert(tostring(token) == "bpf.token: (closed)")
      raises("the token is closed", token.fd, token)
      raises("the token is closed", map.create, options)
      m[0] = 7
      assert(m[0] == 7)
      do
        local inside <close> = assert(bpf.token(dir))
        assert(inside:fd() == fd)
      end
      for _ = 1, 5 do
        bpf.token(dir)
        collectgarbage()
      end
      assert(bpf.token(dir):fd() <= fd + 1)

      -- by a finalizer, within map.create
      local during = require "spec.support.reentry.during"
      local closed, at = 0, 0
      repeat
        at = at + 1
        token = assert(bpf.token(dir))
        options = { type = "hash", key = "u32", value = "u64", max_entries = 1, token = token }
        local ran, ok, result = during(at, function() return assert(map.create(options)) end,
          function() token:close() end)
        closed = closed + (ok and 0 or 1)
        assert(ok or result:find("the token is closed", 1, true), result)
      until ran < at
      assert(closed > 0)
    ]])
  end)

  it("allows what the bpffs delegates, and the refusal says what that would be", function()
    kernel.need("BPF tokens", "6.9")
    container("delegate_cmds=map_create,delegate_maps=array", [[
      local token = assert(bpf.token(dir))
      local m = assert(map.create { type = "array", value = "u32", max_entries = 1, token = token })
      assert(m[0] == 0 and map.info(m).btf_id == 0)
      fails("EPERM", "delegate_cmds=map_create:btf_load and delegate_maps=queue",
        map.create { type = "queue", value = "u32", max_entries = 1, token = token })
      fails("EPERM", "delegate_cmds=map_create:btf_load", map.create { type = "array", max_entries = 1, token = token,
        value = "struct { struct bpf_spin_lock lock; u32 n; }" })
    ]])
  end)

  it("isn't to be had where nothing is delegated, of another namespace's bpffs, without CAP_BPF", function()
    kernel.need("BPF tokens", "6.9")
    container("", [[
      fails("ENOENT", "this bpffs delegates nothing", bpf.token(dir))
      fails("EPERM", "this bpffs belongs to another user namespace", bpf.token("/sys/fs/bpf"))
    ]])
    container(EVERYTHING, [[fails("EPERM", "CAP_BPF is missing in this user namespace", bpf.token(dir))]],
      "setpriv --bounding-set=-bpf --inh-caps=-all")
  end)
end)

describe("an object in a container", function()
  kernel.root()

  it("names libbpf 1.5, which has the option", function()
    if not kernel.libbpf_before("1.5") then
      helper.skip("this libbpf has it")
    end
    local here = bpf.libbpf_version
    fails("ENOSYS", "option 'token_path' needs libbpf 1.5, here is " .. here, bpf.open(CALLS, { token_path = "/sys" }))
    fails("ENOSYS", "option 'token_path' needs libbpf 1.5, here is " .. here, bpf.load(CALLS, { token_path = "/sys" }))
    assert(bpf.open(CALLS, { token_path = "" })):close()
  end)

  it("gets its token from the option token_path", function()
    kernel.need("BPF tokens", "6.9")
    kernel.libbpf("BPF tokens", "1.5")
    container(EVERYTHING, ([[
      local obj = assert(bpf.open(%q, { token_path = dir }))
      for name, prog in pairs(obj.progs) do
        prog:autoload(name == "on_packet")
      end
      assert(obj:load())
      obj.vars.packets = 1
      assert(obj.progs.on_packet:run { data = ("x"):rep(64) })
      assert(obj.vars.packets == 2)
      local calls = assert(bpf.load(%q, { token_path = dir, vars = { target = 1 } }))
      calls.maps.hits[1] = 2
      assert(calls.maps.hits[1] == 2 and calls.vars.target == 1)
      assert(calls:pin(dir .. "/calls") and calls:unpin(dir .. "/calls"))
    ]]):format(PACKETS, CALLS))
  end)

  it("gets it from LIBBPF_BPF_TOKEN_PATH, unless the option says something else", function()
    kernel.need("BPF tokens", "6.9")
    kernel.libbpf("BPF tokens", "1.5")
    container(EVERYTHING, ([[
      assert(bpf.load(%q))
      fails("EPERM", "in a user namespace it takes a BPF token: option 'token_path'", bpf.load(%q, { token_path = "" }))
      fails("ENOENT", "load: token '/absent': No such file or directory", bpf.load(%q, { token_path = "/absent" }))
      fails("EPERM", "token '/sys/fs/bpf': this bpffs belongs to another user namespace",
        bpf.load(%q, { token_path = "/sys/fs/bpf" }))
    ]]):format(CALLS, CALLS, CALLS, CALLS), [[sh -c 'LIBBPF_BPF_TOKEN_PATH=$DIR exec "$@"' sh]])
  end)

  it("says so where the bpffs delegates too little", function()
    kernel.need("BPF tokens", "6.9")
    kernel.libbpf("BPF tokens", "1.5")
    container("delegate_cmds=any,delegate_maps=any", ([[
      fails("EPERM", "or the token doesn't allow it", bpf.load(%q, { token_path = dir }))
    ]]):format(CALLS))
  end)
end)
