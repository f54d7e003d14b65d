-- SPDX-License-Identifier: MIT
-- Maps that are pinned by name, and the pins of an object.
local bpf = require("bpf")

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

local PINS, PINNED, CALLS = helper.obj("pins"), helper.obj("pinned"), helper.obj("calls")

-- A folder in which `name` is the pin of a map that is created with the options.
local function pinned(name, options)
  local dir = helper.bpffs()
  local m <close> = assert(map.create(options))
  assert(map.pin(m, dir .. "/" .. name))
  return dir
end

local function refused(dir, text, options)
  options = options or {}
  options.pin_root = dir
  local obj, message, code = bpf.load(PINS, options)
  assert.same({ n = 3, nil, "EINVAL" }, { n = 3, obj, code })
  assert.matches(text, message, 1, true)
end

describe("a map that is pinned by name", function()
  kernel.root()

  it("is found again, whatever the kernel made of its parameters", function()
    local dir = helper.bpffs()
    local first <close> = assert(bpf.load(PINS, { pin_root = dir }))
    local second <close> = assert(bpf.load(PINS, { pin_root = dir }))
    for _, name in ipairs { "devices", "hashed", "divided", "readable", "pairs", "others" } do
      assert.equal(first.maps[name], second.maps[name], name)
    end
    first.maps.pairs[1] = { first = 2, second = 3 }
    assert.same({ first = 2, second = 3 }, second.maps.pairs[1])
    -- the flag of the descriptor is kept
    assert.equal("EPERM", select(3, map.update(second.maps.readable, 1, { first = 2, second = 3 })))
  end)

  it("isn't touched where another map is given", function()
    local dir = helper.bpffs()
    do
      local first <close> = assert(bpf.load(PINNED, { pin_root = dir }))
      first.maps.lasting[0] = 5
    end
    local options = { type = "array", key = "__u32", value = "__u32", max_entries = 2, name = "mine" }
    local mine <close> = assert(map.create(options))
    local obj <close> = assert(bpf.load(PINNED, { pin_root = dir, maps = { lasting = mine } }))
    assert.equal(mine, obj.maps.lasting)
    assert(obj.progs.count:run())
    assert.equal(1, mine[0])
    local there <close> = assert(map.open(dir .. "/lasting"))
    assert.equal(5, there[0])
  end)

  it("isn't pinned where another map is given", function()
    local dir = helper.bpffs()
    local mine <close> = assert(map.create { type = "array", key = "__u32", value = "__u32", max_entries = 2 })
    local _ <close> = assert(bpf.load(PINNED, { pin_root = dir, maps = { lasting = mine } }))
    assert.same({}, helper.entries(dir))
  end)

  it("is refused with what differs", function()
    local hash = { type = "hash", key = 4, value = 8, max_entries = 8 }
    for _, case in ipairs {
      { { type = "array", value = 8, max_entries = 8 }, "type is array, wanted hash" },
      { { key = 8 }, "key_size is 8, wanted 4" },
      { { value = 12, max_entries = 9 }, "value_size is 12, wanted 8; max_entries is 9, wanted 8" },
      { { flags = "no_prealloc" }, "map_flags is no_prealloc, wanted none" },
    } do
      for key, value in pairs(case[1].type and {} or hash) do
        case[1][key] = case[1][key] or value
      end
      local dir = pinned("pairs", case[1])
      refused(dir, ("map 'pairs': another map is pinned at '%s/pairs': %s"):format(dir, case[2]))
    end
  end)

  it("is refused with another type of the same size, but for an option", function()
    local dir = pinned("pairs", { type = "hash", max_entries = 8, key = "__u32",
      value = "struct pair { __u32 first; __s32 second; }" })
    refused(dir, "value.second is int of 4 bytes, wanted unsigned int of 4 bytes (option 'pin_any_type' takes it)")
    local obj <close> = assert(bpf.load(PINS, { pin_root = dir, pin_any_type = true }))
    obj.maps.pairs[1] = { first = 1, second = 0xffffffff }
    local there <close> = assert(map.open(dir .. "/pairs"))
    assert.equal(-1, there[1].second)
    for value, text in pairs {
      ["struct pair { __u32 second; __u32 first; }"] = "value has a member 'second' at byte 0, wanted 'first'",
      ["struct pair { __u32 first; __u16 second; __u16 x; }"] = "value.second is unsigned short",
      ["__u64"] = "wanted a struct",
    } do
      local made = { type = "hash", max_entries = 8, key = "__u32", value = value }
      refused(pinned("pairs", made), text)
    end
  end)

  it("may have other names for the same types, or bytes without a type", function()
    for _, value in ipairs { "struct two { unsigned int first; const unsigned int second; }", 8, "unsigned char[8]" } do
      local dir = pinned("pairs", { type = "hash", max_entries = 8, key = "__u32", value = value })
      assert(bpf.load(PINS, { pin_root = dir })):close()
    end
  end)

  it("is refused where the pin is no map's", function()
    local dir = helper.bpffs()
    local obj <close> = assert(bpf.load(CALLS))
    assert(obj.progs.whoami:pin(dir .. "/pairs"))
    refused(dir, ("map 'pairs': '%s/pairs' is the pin of something else, no map"):format(dir))
  end)
end)

describe("the pins of an object", function()
  kernel.root()

  it("have the names that it declares, whatever it uses instead", function()
    for _, name in ipairs { "other", "" } do
      local m <close> = assert(map.create { type = "array", value = "__u32", max_entries = 2, name = name })
      local obj <close> = assert(bpf.load(PINNED, { pin_root = helper.bpffs(), maps = { passing = m } }))
      local dir = helper.bpffs() .. "/new"
      assert(obj:pin(dir))
      assert.same({ "count", "lasting", "passing" }, helper.entries(dir))
      assert(obj:unpin(dir))
      assert.same({}, helper.entries(dir))
    end
  end)

  it("are undone without descriptors", function()
    local dir = helper.bpffs()
    local obj <close> = assert(bpf.load(CALLS))
    assert(obj.progs.whoami:pin(dir .. "/whoami"))
    local fds = {}
    repeat
      local file = io.open("/dev/null")
      fds[#fds + 1] = file
    until not file or #fds == 1 << 16
    local code = select(3, obj:pin(dir))
    for _, file in ipairs(fds) do
      file:close()
    end
    assert.equal("EEXIST", code)
    assert.same({ "whoami" }, helper.entries(dir))
    assert(obj.progs.whoami:unpin(dir .. "/whoami"))
  end)

  it("are removed where some are missing", function()
    local dir = helper.bpffs() .. "/new"
    local obj <close> = assert(bpf.load(CALLS))
    assert(obj:pin(dir))
    assert(map.unpin(obj.maps.slots, dir .. "/slots"))
    local ok, message, code = obj:unpin(dir)
    assert.same({ n = 2, nil, "ENOENT" }, { n = 2, ok, code })
    assert.matches("unpin '.*/slots'", message)
    assert.same({}, helper.entries(dir))
  end)
end)
