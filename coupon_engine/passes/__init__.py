"""Passes: a coupon in the wallet app that a phone came with, Apple's or Google's.

Such an app cannot sign with the phone's key, so only coupons with a static code become passes.
"""
