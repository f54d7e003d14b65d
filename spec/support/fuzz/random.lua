-- SPDX-License-Identifier: MIT
-- Random numbers that depend on the seed alone, not on the version of Lua: xorshift64*.

-- A function that returns a random integer from 1 to n.
return function(seed)
  -- Neighbouring seeds shall differ in all bits, and no state may be 0.
  local state = (seed + 1) * 0x9e3779b97f4a7c15
  state = (state ~ (state >> 30)) * 0xbf58476d1ce4e5b9
  state = (state ~ (state >> 27)) * 0x94d049bb133111eb
  state = (state ~ (state >> 31)) | 1
  return function(n)
    state = state ~ (state >> 12)
    state = state ~ (state << 25)
    state = state ~ (state >> 27)
    return ((state * 0x2545f4914f6cdd1d) >> 33) % n + 1
  end
end
