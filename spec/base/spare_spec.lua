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
      local path = %q
      assert(map.pin(one, path))
      collectgarbage "stop"
      repeat local file = io.open "/dev/null" until not file
      collectgarbage "restart"
      assert(map.unpin(one, path))
      print "fine"
    ]]):format(500 // helper.slow, helper.bpffs() .. "/spare")))
  end)

  it("that run out in a batch of inner maps end it early, and nothing is lost", function()
    assert.equal("EMFILE\nEMFILE\n8\n", limited(64, [[
      local inner = { type = "array", max_entries = 1, value = "__u32" }
      local outer = assert(map.create { type = "hash_of_maps", max_entries = 8, key = "__u32", inner = inner })
      for i = 1, 8 do assert(map.update(outer, i, (assert(map.create(inner))))) end
      hold()
      print((select(3, map.lookup_batch(outer))))
      free()
      hold(6)
      local seen, keys, values, cursor = {}, map.lookup_batch(outer)
      assert(#keys > 0 and #keys < 8 and #keys == #values and cursor)
      print((select(3, map.lookup_batch(outer, cursor))))
      free()
      local more, others, last = assert(map.lookup_batch(outer, cursor))
      assert(not last and #others == #more)
      for _, list in ipairs { keys, more } do
        for _, key in ipairs(list) do seen[key] = true end
      end
      local n = 0
      for _ in pairs(seen) do n = n + 1 end
      print(n)
    ]]))
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

  it("that were missing for one attachment don't spoil the next", function()
    kernel.need("links of perf events", "5.15")
    for left = 1, helper.slow > 1 and 1 or 2 do
      assert.equal("whole\n", limited(64, ([[
        local obj = assert(bpf.load "build/progs/attach_perf_event.bpf.o")
        local event, prog = { config = "cpu_clock", sample_freq = 1, cpu = 0 }, obj.progs.with_cookie
        hold(%d)
        local link, message, code = prog:attach_perf_event(event)
        assert(link or code == "EMFILE", message)
        free()
        link = assert(prog:attach_perf_event(event, { bpf_cookie = 7 }))
        assert(link:info().type == "perf_event", link:info().type)
        print "whole"
      ]]):format(left)), left .. " descriptors left")
    end
  end)

  it("that are missing when an object closes that was never loaded don't spoil the next load", function()
    kernel.need("mmapable", "5.5")
    for left = 1, helper.slow > 1 and 1 or 2 do
      assert.equal("whole\n", limited(64, ([[
        local bytes = assert(io.open("build/progs/vars.bpf.o", "rb")):read "a"
        local obj = assert(bpf.open "build/progs/attach_functions.bpf.o")
        for _, prog in pairs(obj.progs) do
          prog:attach_target "bpf_prog_put"
        end
        hold(%d)
        obj:close()
        free()
        obj = assert(bpf.load { bytes = bytes })
        for name, prog in pairs(obj.progs) do
          assert(prog:info().name == name:sub(1, 15), prog:info().name)
        end
        print "whole"
      ]]):format(left)), left .. " descriptors left")
    end
  end)

  it("that are missing for a target are EMFILE", function()
    assert.equal("EMFILE\n", limited(64, [[
      local obj = assert(bpf.open "build/progs/attach_functions.bpf.o")
      local _, prog = next(obj.progs)
      hold()
      print(select(3, prog:attach_target "bpf_prog_put"))
    ]]))
  end)

  it("are looked for before an object is loaded, which a finalizer may do meanwhile", function()
    assert.matches("^%(command line%):%d+: object 'vars' is loaded already\ttrue\n$", limited(64, [[
      local obj = assert(bpf.open "build/progs/vars.bpf.o")
      hold()
      setmetatable({}, { __gc = function() free() assert(obj:load()) end })
      local ok, message = pcall(obj.load, obj)
      print(message, tostring(obj):find "not loaded" == nil and tostring(obj):find "loaded" ~= nil)
    ]]))
  end)

  it("are taken to be there where they can't be counted", function()
    local output = helper.run(("build/support/nobpf --eventfd %s -e %s"):format(helper.LUA, helper.quote([[
      print((assert(require("bpf").map.create { type = "array", max_entries = 1, value = "__u32" })))
    ]])))
    assert.matches("^bpf.map: ", output)
  end)

  it("of sockets that are forbidden are no answer about interfaces", function()
    local output = helper.run(("build/support/nobpf --socket %s -e %s"):format(helper.LUA, helper.quote([[
      local map = require("bpf").map
      print(map.update(assert(map.create { type = "devmap", max_entries = 1 }), 0, "lo"))
    ]])))
    assert.equal("nil\tmap 'devmap': update: network interface 'lo': Operation not permitted (EPERM)\tEPERM\n", output)
  end)
end)
