"""Pictures with known texts in them: other people's photographs, and phones that we draw.

What is drawn has a seed: the same pictures come again, byte for byte, on the same libraries.
"""
