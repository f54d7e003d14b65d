-- SPDX-License-Identifier: MIT
-- The examples of docs/reference.md compile and run. What they use besides `bpf` and `map` is made for each by
-- spec/support/usage/<section>.lua, whose names are those of the reference's sections: map, prog, object.
local kernel = require("spec.support.kernel")
local bpf = require("bpf")

-- The sections, each with its examples: { name, line, code, unrun = reason }.
local function examples()
  local found, section, name, note, code = {}, nil, nil, nil, nil
  local number = 0
  for line in io.lines "docs/reference.md" do
    number = number + 1
    if code and line == "```" then
      found[#found + 1] = { section = section, name = name, line = number - #code - 1, code = table.concat(code, "\n"),
        unrun = note and note:match "^<!%-%- not run: (.*) %-%->$" }
      code = nil
    elseif code then
      code[#code + 1] = line
    elseif line == "```lua" then
      code = {}
    elseif line ~= "" then
      section = line:match "^## bpf%.?([%w_]*):" or (line:find "^## " and "" or section)
      name = line:match "^###? (.*)$" or name
      note = line
    end
  end
  return found
end

-- What an example sees; closed when it has run.
local function surroundings(section)
  local env = setmetatable({ bpf = bpf, map = bpf.map, print = function() end }, { __index = _G })
  local path = package.searchpath("spec.support.usage." .. section, "./?.lua")
  local close = path and dofile(path)(env) or function() end
  return env, setmetatable({}, { __close = close })
end

describe("the example of", function()
  for _, example in ipairs(examples()) do
    it(example.name, function()
      local code = ("\n"):rep(example.line) .. example.code
      assert(load(code, "@docs/reference.md", "t"))
      if example.unrun then
        return
      end
      kernel.root()
      local env, closing <close> = surroundings(example.section ~= "" and example.section or "bpf")
      assert(closing)
      assert(load(code, "@docs/reference.md", "t", env))()
    end)
  end
end)
