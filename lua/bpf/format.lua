-- SPDX-License-Identifier: MIT
-- bpf.format: values as text, and rows of them in columns.

local format = { columns = require("bpf.format.columns"), enum = require("bpf.format.enum") }
for name, fn in pairs(require("bpf.format.values")) do
  format[name] = fn
end

return format
