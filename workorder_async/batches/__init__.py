"""Promise 3, for many mutations: each is carried out once.

batch     what a user calls
workers   who pulls mutations, carries them out several at a time, and when they stop
once      one mutation: begun, sent or settled, and its outcome written
outcomes  what may become of a mutation, the report of all, and the doubt whether the platform accepts anything
journal   what a batch remembers
"""
