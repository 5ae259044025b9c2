"""Many mutations, each carried out once.

batch         what a user calls
workers       who pulls mutations, carries them out several at a time, and when they stop
once          one mutation: begun, sent or settled, and its outcome written
outcomes      what may become of a mutation, and the report of all
doubt         whether the platform accepts anything at all
identity      which mutation is which, and which batch a journal is for
journal       what a batch remembers: the loop's side, which gives orders
journal_file  the thread's side: the file and its lines
records       what a journal tells people
standings     what is known of each mutation, in one table
"""
