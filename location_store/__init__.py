"""The location store: who was in which city, for the window and not a day longer. It knows no messages."""
