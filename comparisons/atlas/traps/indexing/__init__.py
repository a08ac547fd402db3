"""Reading, writing and reshaping arrays, and linear algebra on them."""
