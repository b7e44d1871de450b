"""Does an answer cost the same with more workers, nodes, subscribers and binds? (`run`)"""
