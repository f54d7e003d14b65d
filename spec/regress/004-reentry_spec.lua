-- SPDX-License-Identifier: MIT
-- Finalizers that use a handle within an operation on it: what the operation had looked at before it allocated was
-- used afterwards. Each in a process of its own: what went wrong once, crashed.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

-- Runs the code, which prints what it found; checks that it ended well and printed that.
local function prints(expected, code)
  local output, ok = helper.lua([[
    local bpf = require("bpf")
    local during = require("spec.support.reentry.during")
    ]] .. code)
  assert.are.equal(expected .. "\n", output)
  assert.is_true(ok)
end

describe("a stream that a finalizer steps", function()
  kernel.root()
  kernel.need("iterators", "5.8")

  -- Leaves `link`, whose program prints 100 lines and an end, 7397 bytes in all.
  local LINES <const> = ([[
    local self = assert(io.open("/proc/self/stat")):read("n")
    local obj <close> = assert(bpf.open(%q, { vars = { self = self } }))
    for name, p in pairs(obj.progs) do p:autoload(name == "many_lines") end
    assert(obj:load())
    local link <close> = assert(obj.progs.many_lines:attach())
  ]]):format(helper.obj("iters"))

  it("gives each line once", function()
    prints("true\t101", LINES .. [[
      for at = 1, 9 do
        local step = link:lines()
        local seen, n = {}, 0
        local function take()
          local line = step()
          if line then
            assert(not seen[line] and (line:find("^%d+ 0123456789.*9$") or line == "the end"), line)
            seen[line], n = true, n + 1
          end
          return line
        end
        take()
        local ran, ok, message = during(at, take, function() for _ = 1, 53 do take() end end)
        assert(ok, message)
        repeat until not take()
        assert(n == 101, n)
        if ran < at then print(at > 1, n) break end
      end
    ]])
  end)

  it("gives each record once", function()
    prints("true\ttrue\ttrue", LINES .. [[
      local all = link:read()
      local step = link:records(512)
      for _ = 1, 7 do step() end
      local taken
      local ran, _, record = during(1, step, function() taken = step() end)
      print(ran > 0, taken == all:sub(7 * 512 + 1, 8 * 512), record == all:sub(8 * 512 + 1, 9 * 512))
    ]])
  end)

  it("looks again when its buffer has grown", function()
    prints("true", LINES .. [[
      for at = 1, 6 do
        local step = link:records(7000)
        local taken
        local ran, ok, record = during(at, step, function() taken = step() end)
        if ran < at then break end
        assert(ok ~= (taken ~= nil), at)
        assert(#(taken or record) == 7000)
        assert(ok or record:find("397 bytes of 7000 are left"), record)
      end
      print(true)
    ]])
  end)
end)

describe("an object's BTF", function()
  kernel.root()

  it("is one handle, which the object closes, when a finalizer asks for it as well", function()
    prints("true\ttrue\tBTF of iters is closed", ([[
      local obj = assert(bpf.open(%q))
      local other
      local ran, ok, btf = during(1, function() return obj:btf() end, function() other = obj:btf() end)
      io.write(tostring(ran > 0 and ok), "\t", tostring(rawequal(btf, other)), "\t")
      obj:close()
      print((select(2, pcall(other.find, other, "int")):match("^.*:%%d+: (.*)$")))
    ]]):format(helper.obj("iters")))
  end)
end)

describe("BTF that others have as a base", function()
  kernel.root()
  if kernel.config("CONFIG_DEBUG_INFO_BTF") == "n" then
    helper.skip("the kernel lacks CONFIG_DEBUG_INFO_BTF")
  end

  -- Leaves `path`, of BTF that has the kernel's as its base, and `file`, which is bpf.btf.file.
  local split

  setup(function()
    local path = helper.tmpdir() .. "/splitted"
    assert(os.execute("build/support/splitbtf " .. path))
    split = ("local file, path = bpf.btf.file, %q\n"):format(path)
  end)

  it("goes with the last of them when a finalizer makes another", function()
    prints("true\t24\t24", split .. [[
      local base = assert(file("/sys/kernel/btf/vmlinux"))
      local options = { base = base }
      local other
      local ran, ok, split = during(1, function() return file(path, options) end, function()
        other = file(path, options)
      end)
      assert(ok, split)
      base:close()
      io.write(tostring(ran > 0), "\t", split:find("struct splitted").size, "\t")
      split:close()
      split, base, options = nil
      collectgarbage()
      print(other:find("struct splitted").size)
    ]])
  end)

  it("can be used by finalizers that run after theirs, at the end of the state", function()
    prints("24\t16\nfinalized\t16", split .. [[
      local base = assert(file("/sys/kernel/btf/vmlinux"))
      KEPT = setmetatable({}, { __gc = function() -- runs after what is younger
        io.write("finalized\t", base:find("struct list_head").size, "\n")
      end })
      SPLIT = assert(file(path, { base = base }))
      print(SPLIT:find("struct splitted").size, base:find("struct list_head").size)
      os.exit(true, true)
    ]])
  end)

  it("can be used by finalizers that run after theirs, in a collection", function()
    prints("16", split .. [[
      local size
      do
        local base = assert(file("/sys/kernel/btf/vmlinux"))
        local _ = setmetatable({}, { __gc = function() size = base:find("struct list_head").size end })
        assert(file(path, { base = base }))
      end
      collectgarbage()
      print(size)
    ]])
  end)
end)

describe("memory that a finalizer takes away", function()
  kernel.root()

  it("isn't written to once the map is frozen", function()
    prints("true\tfalse\tEPERM\tbefore", [[
      local m = assert(bpf.map.create({ type = "array", max_entries = 5, value = "struct { char t[300]; }",
        flags = "mmapable" }))
      m[1] = { t = "before" }
      local value = { t = "after" }
      local ran, ok, message = during(1, function() m[1] = value end, function() assert(bpf.map.freeze(m)) end)
      print(ran > 0, ok, message:match("%((%u+)%)$"), m[1].t)
    ]])
  end)

  it("isn't written to once the object is loaded and the variable constant", function()
    prints("true\tfalse\tconstant", ([[
      local obj = assert(bpf.open(%q))
      local vars, value = obj.vars, { text = "after" }
      local ran, ok, message = during(1, function() vars.settings = value end, function() assert(obj:load()) end)
      print(ran > 0, ok, message:match("is (constant)"))
    ]]):format(helper.obj("reentry")))
  end)

  it("isn't mapped for variables that were collected before their object", function()
    prints("true\ttrue", ([[
      local n, loaded = 0, 0
      for at = 1, 40 do
        do
          local obj, kept
          local _, _, opened = during(at, function() return bpf.open(%q) end, function()
            -- older than some of the object's handles: finalized after those, before the object
            kept = setmetatable({}, { __gc = function()
              local load = obj.load
              n, loaded = n + 1, loaded + (load(obj) and 1 or 0)
            end })
          end)
          obj = kept and opened
        end
        collectgarbage()
      end
      print(n > 10, loaded == n)
    ]]):format(helper.obj("reentry")))
  end)

  it("isn't read from once the map is closed", function()
    prints("true\tfalse\tmap 'array' is closed", [[
      local m = assert(bpf.map.create({ type = "array", max_entries = 5, value = "struct { char t[300]; }",
        flags = "mmapable" }))
      local ran, ok, message = during(1, function() return m[1] end, function() bpf.map.close(m) end)
      print(ran > 0, ok, message:match("map.*$"))
    ]])
  end)
end)

describe("a number in place of a path or name, which becomes a string", function()
  kernel.root()

  -- Closes the object where the string is made.
  local function closed(expected, load, call)
    prints("true\tfalse\t" .. expected, ([[
      local obj = assert(bpf.%s(%q))
      local prog = select(2, next(obj.progs))
      local ran, ok, message = during(1, function() return %s end, function() obj:close() end)
      print(ran > 0, ok, message:match("%%l+ '.*$"))
    ]]):format(load, helper.obj("events"), call))
  end

  it("leaves no object to pin, nor a program to give a target", function()
    closed("object 'events' is closed", "load", "obj:pin(123456789)")
    closed("object 'events' is closed", "load", "obj:unpin(123456789)")
    closed("program 'send': its object is closed", "open", "prog:attach_target(123456789)")
  end)
end)
