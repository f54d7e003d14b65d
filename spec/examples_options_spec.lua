-- SPDX-License-Identifier: MIT
-- The options of those examples that share examples/common.lua. No kernel is asked.
local examples = require "spec.support.examples"
local lfs = require "lfs"

-- Those that take any number of words.
local many = { funccount = true, netcg = true }

for name in lfs.dir "examples" do
  local file <close> = io.open(("examples/%s/main.lua"):format(name))
  if file and file:read "a":find('require "common"', 1, true) then
    describe(name, function()
      it("explains itself without root", function()
        local output, ok = examples.run(name, "--seconds 3 --help")
        assert(ok, output)
        assert(output:find "^Usage: main.lua", output)
      end)

      it("refuses arguments that it doesn't understand", function()
        local words = many[name] and "-y" or "a b c d"
        for _, arguments in ipairs { "--foo", "--seconds", "--seconds x", "--seconds -1", "-x", words } do
          local output, _, code = examples.run(name, arguments)
          assert.equal(2, code, output)
          assert(output:find("^" .. name .. ": not understood: %S+\nUsage:"), output)
        end
      end)
    end)
  end
end
