"""Named sets of settings, a YAML file each; `rnncli.training.recipes` reads them."""
