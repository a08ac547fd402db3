"""Why a pair parts: hypotheses, each tried in float64 on the pair itself."""
