-- SPDX-License-Identifier: MIT
-- BTF of files, of objects and of C text, and the types compiled from it.
local bpf = require "bpf"
local common = require "spec.support.reentry.common"

local finalize = common.finalize

-- BTF on top of a file's: of three types, made once.
local SPLIT <const> = common.temporary "build/support/splitbtf"

-- What every handle is asked.
local operations <const> = {
  find = function(h) return h.btf:find "struct event" end,
  resolve = function(h) return h.btf:resolve "struct event" end,
  print = function(h) return h.btf:print("struct event", { deep = true }) end,
  dump = function(h) return h.btf:dump() end,
  bytes = function(h) return h.btf:bytes() end,
  hash = function(h) return h.btf:hash() end,
  type = function(h) h.type = h.btf:type "struct event" end,
  text_type = function(h) h.type = h.btf:type "struct { struct event e[3]; }" end,
  step = function(h) return h.step() end,
  types = function(h) h.step = h.btf:types "struct" end,
  text = function(h) return tostring(h.btf), #h.btf end,
  close = function(h) return h.btf:close() end,
  finalize = function(h) finalize(h.btf) end,
}

return {
  {
    name = "BTF of a file",
    setup = function()
      local btf = assert(bpf.btf.file(common.obj "events"))
      return { btf = btf, step = btf:types() }
    end,
    operations = operations,
  },
  {
    name = "BTF of an object",
    setup = function()
      local obj = assert(bpf.open(common.obj "events"))
      local btf = assert(obj:btf())
      return { obj = obj, btf = btf, step = btf:types() }
    end,
    operations = common.with(operations, {
      again = function(h) h.btf = h.obj:btf() end,
      spec = function(h) return bpf.map.typed(h.obj.maps.events, nil, "struct event") end,
      close_object = function(h) return h.obj:close() end,
    }),
  },
  {
    name = "handles of an object's BTF",
    setup = function()
      return { obj = assert(bpf.open(common.obj "events")), got = {} }
    end,
    operations = {
      get = function(h) h.got[#h.got + 1] = h.obj:btf() end,
      close = function(h) return h.got[1]:close() end,
      finalize = function(h) finalize(h.got[1]) end,
      close_object = function(h) return h.obj:close() end,
    },
    after = function(h)
      h.obj:close()
      for _, btf in ipairs(h.got) do
        pcall(btf.find, btf, "int")
      end
    end,
  },
  {
    name = "BTF with a base",
    setup = function()
      return { base = assert(bpf.btf.file(common.obj "vars")) }
    end,
    after = function(h)
      h.base:close()
      h.split:find "struct shape"
    end,
    operations = {
      file = function(h) h.split = bpf.btf.file(SPLIT, { base = h.base }) end,
      other = function(h) h.other = bpf.btf.file(SPLIT, { base = h.base }) end,
      find = function(h) return h.base:find "struct shape" end,
      find_split = function(h) return h.split:find "struct shape", h.other:find(1) end,
      close = function(h) return h.base:close() end,
      finalize = function(h) finalize(h.base) end,
      close_split = function(h) return h.split:close() end,
      finalize_split = function(h) finalize(h.split) end,
    },
  },
  {
    name = "types",
    setup = function()
      local type = bpf.btf.type "struct v { int a; char t[300]; enum { A, B } e; struct { int x[20]; } n; }"
      return { type = type, bytes = type:encode { a = 1 } }
    end,
    operations = {
      encode = function(h) return h.type:encode { a = 1, e = "B", n = { x = { 1, 2 } } } end,
      decode = function(h) return h.type:decode(h.bytes) end,
      layout = function(h) return h.type:layout() end,
      members = function(h) return h.type:members() end,
      text = function(h) return tostring(h.type), h.type:name(), h.type:size() end,
      parse = function() return bpf.btf.parse "struct x { int a; struct y *p; };" end,
      make = function() return bpf.btf.type "struct x { int a[3]; enum { A, B } e; }" end,
      kernel = function() return bpf.btf.kernel(), bpf.btf.module "none" end,
      by_id = function() return bpf.btf.by_id(1), bpf.btf.by_id(0) end,
      kernel_type = function() return bpf.btf.type "struct list_head" end,
      finalize = function(h) finalize(h.type) end,
    },
  },
}
