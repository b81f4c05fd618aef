INPUTS = []
