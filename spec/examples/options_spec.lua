-- SPDX-License-Identifier: MIT
-- The options of the examples. No kernel is asked.
local examples = require "spec.support.examples"
local lfs = require "lfs"

-- Tests that an example explains itself, and refuses each of the arguments.
local function options(name, help, wrong)
  describe(name, function()
    it("explains itself without root", function()
      local output, ok = examples.run(name, help)
      assert(ok, output)
      assert(output:find "^Usage: main.lua", output)
    end)

    it("refuses arguments that it doesn't understand", function()
      for _, arguments in ipairs(wrong) do
        local output, _, code = examples.run(name, arguments)
        assert.equal(2, code, output)
        assert(output:find(name .. ": ", 1, true) == 1, output)
        assert(output:find "^%S+ [^\n]+\n.*Usage: main.lua", output)
      end
    end)
  end)
end

-- Those that don't share examples/common.lua.
options("syscount", "--help", { "--foo", "-n", "-n x", "-n 2.5", "-p -1", "0", "-d -p 1" })
options("opens", "--help", { "--foo", "-p", "-p x", "-p 2.5", "0" })

-- Those that take any number of words.
local many = { funccount = true, netcg = true, netdeny = true }

for name in lfs.dir "examples" do
  local file <close> = io.open(("examples/%s/main.lua"):format(name))
  if file and file:read "a":find('require "common"', 1, true) then
    local words = many[name] and "-y" or "a b c d"
    options(name, "--seconds 3 --help", { "--foo", "--seconds", "--seconds x", "--seconds -1", "-x", words })
  end
end
