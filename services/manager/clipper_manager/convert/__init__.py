"""Messages to values and back.

numbers     enums and their numbers on the wire
incoming    messages to values: what callers send
outgoing    values to messages: what callers get
"""
