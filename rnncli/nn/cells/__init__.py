"""The recurrent cells: a file each, with its equations, gradients, one step and parameters.

A new cell is a file here that ends in its row `CELL`, and its name in `config.settings.CELLS`; a
dash in the name is an underscore in that of the file. Nothing else in the engine names a cell.
"""
