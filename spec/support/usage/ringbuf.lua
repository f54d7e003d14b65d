-- SPDX-License-Identifier: MIT
-- What the examples of bpf.ringbuf use.
return require("spec.support.reader").ringbuf.usage
