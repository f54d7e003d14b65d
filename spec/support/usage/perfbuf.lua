-- SPDX-License-Identifier: MIT
-- What the examples of bpf.perfbuf use.
return require("spec.support.reader").perfbuf.usage
