//! Whole-product proof: simulation, end to end, interop, tidy.
