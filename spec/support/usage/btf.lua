-- SPDX-License-Identifier: MIT
-- What the examples of bpf.btf use: BTF of a struct, a typedef and an enum. An example that closes it may do so.
local bpf = require("bpf")

return function(env)
  local btf = bpf.btf.parse [[
    struct hit { __u64 count; char comm[16]; };
    typedef struct hit hit_t;
    enum verdict { PASS, DROP };
  ]]
  env.btf = btf
  return function()
    btf:close()
  end
end
