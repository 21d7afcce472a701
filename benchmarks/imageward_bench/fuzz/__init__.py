"""Fuzzing of the decoder in its cage: real files of every format, spoiled at random.

files         small real pictures in every format and variant
mutations     one file and a generator of random numbers -> another file
numbered      a seed and a number -> one spoiled file, always the same
batch         many numbers through a cell in one order -> what came of them, finds by number
batch_zygote  the cell's side of that
execution     one file through a cell of the server's -> what came of it, a find or not
campaign      many batches in parallel; finds are minimised and kept
"""
