"""The oracle: NumPy in higher precision than what it judges, with a rounding-error bound beside
every number.

An engine's value is certified where |computed - oracle| <= bound. The bounds are running error
analysis, componentwise, for any order of summation, with or without fused multiply-add: Higham,
*Accuracy and Stability of Numerical Algorithms*, 2nd ed., ch. 3; Blanchard, Higham and Higham,
*Accurately computing the log-sum-exp and softmax functions*, IMA J. Numer. Anal. 41 (2021).
"""
