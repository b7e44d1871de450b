"""What a subscriber says, what he is told: grammar, conversation and words, all pure.

The pipeline calls `grammar.parse`, then `conversation.step`, then `replies.render`; a state's bytes are
`state.pack`'s.
"""
