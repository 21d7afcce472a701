"""Fuzzing of the decoder in its cage: real files of every format, spoiled at random.

files      small real pictures in every format and variant
mutations  one file and a generator of random numbers -> another file
execution  one file through a cell -> what came of it, how long, a find or not
campaign   many of these in parallel; finds are minimised and kept
"""
