-- SPDX-License-Identifier: MIT
-- Checks of all that a function answers, by how many values as well. `local answers = require "spec.support.answers"`.
local assert = require("luassert")

local answers = {}

--- True alone.
function answers.done(...)
  assert.same({ true, n = 1 }, table.pack(...))
end

--- One nil: there is no such thing, which is no failure.
function answers.absent(...)
  assert.same({ n = 1 }, table.pack(...))
end

--- False and why: what was asked for didn't happen, which is no failure either.
function answers.refused(code, ...)
  assert.same({ false, code, n = 2 }, table.pack(...))
end

--- Nil, a message and a code. The message has the text.
function answers.fails(code, text, ...)
  assert.same({ nil, (select(2, ...)), code, n = 3 }, table.pack(...))
  local message = select(2, ...)
  if not message:find(text, 1, true) then
    error(("expected a message with %q, got %q"):format(text, message), 2)
  end
end

return answers
