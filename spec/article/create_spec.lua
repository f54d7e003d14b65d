-- SPDX-License-Identifier: MIT
-- bpf(2) with BPF_MAP_CREATE: a type, sizes of keys and values, a maximum of entries; and its three errors.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map
local fails = answers.fails

kernel.root()

describe("creating a map", function()
  it("takes a type, a key, a value and how many entries there may be", function()
    local m <close> = assert(map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 100 })
    local info = assert(map.info(m))
    assert.same({ "hash", 4, 8, 100 }, { info.type, info.key_size, info.value_size, info.max_entries })
  end)

  it("takes structs, by C text or by their sizes", function()
    local m <close> = assert(map.create {
      type = "hash", max_entries = 1,
      key = "struct flow { __u32 from, to; __u16 port; }", value = "struct counts { __u64 packets, bytes; }",
    })
    local raw <close> = assert(map.create { type = "hash", key = 12, value = 16, max_entries = 1 })
    for _, one in ipairs { m, raw } do
      assert.same({ 12, 16 }, { map.info(one).key_size, map.info(one).value_size })
    end
    m[{ from = 1, to = 2, port = 443 }] = { packets = 3, bytes = 180 }
    assert.same({ packets = 3, bytes = 180 }, m[{ from = 1, to = 2, port = 443 }])
    raw[("k"):rep(12)] = ("v"):rep(16)
    assert.equal(("v"):rep(16), raw[("k"):rep(12)])
  end)

  it("gives a descriptor, and the map is gone with the last one", function()
    local id
    do
      local m <close> = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 1 })
      assert.matches("anon_inode:bpf%-map", (helper.run(("readlink /proc/%d/fd/%d"):format(helper.pid, map.fd(m)))))
      id = map.info(m).id
      local same <close> = assert(map.by_id(id))
      assert.equal(m, same)
    end
    for _ = 1, 100 do -- the kernel frees maps a little later
      local _, _, code = map.by_id(id)
      if code == "ENOENT" then
        break
      end
      helper.run("sleep 0.01")
    end
    fails("ENOENT", "no such map", map.by_id(id))
  end)
end)

describe("creating a map fails with", function()
  -- What a working set of options becomes invalid by, and what the message calls it.
  for text, change in pairs {
    ["max_entries must be greater than 0"] = { max_entries = 0 },
    ["key is missing"] = { key = false },
    ["value is missing"] = { value = false },
    ["key must take 4 bytes"] = { type = "array", key = "__u64" },
    ["key must be left out"] = { type = "queue" },
    ["flags"] = { flags = "mmapable" },
    ["name may have letters, digits, '_' and '.' only"] = { name = "no spaces" },
  } do
    it("EINVAL for an attribute that is invalid: " .. text, function()
      local options = { type = "hash", key = "__u32", value = "__u32", max_entries = 8 }
      assert(map.close(assert(map.create(options))))
      for name, value in pairs(change) do
        options[name] = value or nil
      end
      fails("EINVAL", text, map.create(options))
    end)
  end

  it("EPERM without the power to do so", function()
    local code = [[
      local bpf = require "bpf"
      print(bpf.map.create { type = "lru_hash", name = "mine", key = "__u32", value = "__u32", max_entries = 8 })
    ]]
    local command = helper.LUA .. " -e " .. helper.quote(code)
    assert.matches("^bpf%.map: mine", (helper.run(command)))
    assert.matches("^nil\tmap%.create %(lru_hash mine%): refused; perhaps CAP_BPF is missing.*%(EPERM%)\tEPERM\n$",
      (helper.run("setpriv --bounding-set=-all --inh-caps=-all --no-new-privs " .. command)))
  end)

  it("ENOMEM when there isn't the memory", function()
    kernel.need("maps of more than 4 GiB", "5.11")
    -- An array has all its slots from the start: these would take 2 PiB.
    fails("ENOMEM", "the kernel found no memory for 2147483648 entries of 4 + 1048576 bytes",
      map.create { type = "array", value = 1 << 20, max_entries = 1 << 31 })
    -- So has a hash (here 2 TiB), unless it allocates them as they come.
    local options = { type = "hash", key = 4, value = 1 << 21, max_entries = 1 << 20 }
    fails("ENOMEM", "the kernel found no memory for 1048576 entries of 4 + 2097152 bytes", map.create(options))
    options.flags = "no_prealloc"
    local m <close> = assert(map.create(options))
    assert.equal(0, #m)
  end)

  it("no descriptor left open", function()
    local function descriptors()
      collectgarbage()
      return select(2, helper.run(("ls -l /proc/%d/fd"):format(helper.pid)):gsub("bpf%-map", ""))
    end
    local before = descriptors()
    for _ = 1, 10 do
      map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 0 }
      map.create { type = "array", value = 1 << 20, max_entries = 1 << 31 }
    end
    assert.equal(before, descriptors())
  end)
end)
