-- SPDX-License-Identifier: MIT
-- Descriptors: what opens some collects those that nobody has any more, and says so when there are none.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

kernel.root()

-- The output of code in a process of its own with this many descriptors. It has `hold(left)`, which leaves so many
-- free, and `free()`.
local function limited(descriptors, code)
  local output = helper.run(("ulimit -n %d; %s -e %s"):format(descriptors, helper.LUA, helper.quote([[
    local bpf = require "bpf"
    local map, held = bpf.map, {}
    local function hold(left)
      collectgarbage()
      collectgarbage()
      repeat
        local f = io.open "/dev/null"
        held[#held + 1] = f
      until not f
      for _ = 1, left or 0 do
        table.remove(held):close()
      end
    end
    local function free()
      for _, f in ipairs(held) do
        f:close()
      end
      held = {}
    end
  ]] .. code)))
  return output
end

describe("descriptors", function()
  it("of handles that nobody has any more are closed when there are no others", function()
    assert.equal("fine\n", limited(64, ([[
      local inner = { type = "array", max_entries = 1, value = "__u32" }
      local outer = assert(map.create { type = "hash_of_maps", max_entries = 8, key = "__u32", inner = inner })
      local one = assert(map.create(inner))
      outer[1] = one
      local heap = {}
      for i = 1, 20000 do heap[i] = { i } end
      for _ = 1, %d do
        assert(outer[1][0] == 0)
        assert(map.create(inner))
        assert(map.by_id(map.info(one).id))
        assert(map.typed(one))
      end
      print "fine"
    ]]):format(500 // helper.slow)))
  end)

  it("are not collected for within a finalizer", function()
    assert.equal("EMFILE\n", limited(64, [[
      collectgarbage "stop"
      local inner = { type = "array", max_entries = 1, value = "__u32" }
      for _ = 1, 20 do assert(map.create(inner)) end -- finalizers run the other way round: these are closed last
      hold()
      local code
      setmetatable({}, { __gc = function() code = select(3, map.create(inner)) or "made" end })
      collectgarbage "restart"
      collectgarbage()
      print(code)
    ]]))
  end)

  it("that are missing are no answer about the kernel or the machine", function()
    assert.equal(("EMFILE\n"):rep(9), limited(64, [[
      local inner = { type = "array", max_entries = 1, value = "__u32" }
      local outer = assert(map.create { type = "hash_of_maps", max_entries = 4, key = "__u32", inner = inner })
      outer[1] = assert(map.create(inner))
      local devices = assert(map.create { type = "devmap", max_entries = 4 })
      hold()
      local function show(first, message, code)
        print(first == nil and message and code or first)
      end
      show(bpf.interface_name(1))
      show(map.update(devices, 0, "lo"))
      show(bpf.features.map_type "hash")
      show(bpf.features.prog_type "xdp")
      show(bpf.features.helper("xdp", "map_lookup_elem"))
      show(bpf.btf.kernel())
      show(map.create { type = "percpu_array", max_entries = 1, value = "__u32" })
      show(map.lookup(outer, 1))
      show(map.unpack(outer, 1))
    ]]))
  end)

  it("that were missing for one load, map or question don't spoil the next", function()
    kernel.need("mmapable", "5.5")
    for left = 0, 26, helper.slow > 1 and 13 or 1 do
      local output = limited(64, ([[
        local bytes = assert(io.open("build/progs/vars.bpf.o", "rb")):read "a"
        hold(%d)
        local obj, message, code = bpf.load { bytes = bytes }
        assert(obj or code == "EMFILE", message)
        local m, why = map.create { type = "hash", name = "named", max_entries = 1, key = "__u32", value = "__u32" }
        assert(m or why:find "EMFILE", why)
        bpf.features.prog_types()
        free()
        obj = assert(bpf.load { bytes = bytes })
        for name, prog in pairs(obj.progs) do
          assert(prog:info().name == name:sub(1, 15), prog:info().name)
        end
        m = assert(map.create { type = "hash", name = "named", max_entries = 1, key = "__u32", value = "__u32" })
        assert(map.info(m).name == "named" and map.info(m).btf_id ~= 0)
        print "whole"
      ]]):format(left))
      assert.equal("whole\n", output, left .. " descriptors left")
    end
  end)
end)
