"""The loop that joins study, dispatcher and backend, and the parts that it is made of."""
