run "a_line_is_quantity_times_price" {
  command = plan

  variables {
    lines = [
      { item = "clusters", price = "cluster-hour", quantity = 1460 },
      { item = "keys", price = "kms-key", quantity = 3 },
      { item = "none", price = "kms-key", quantity = 0 },
    ]
  }

  assert {
    condition     = output.total == 149 && [for line in output.lines : line.usd] == [146, 3] && output.unpriced == []
    error_message = "1,460 hours at 0.10 and three keys are 149 USD, and what there is none of has no line: ${jsonencode(output.lines)}"
  }

  assert {
    condition     = strcontains(output.table, "| keys | 3 key | 1 | 3.00 |") && strcontains(output.table, "| **together** | | | **149** |") && !strcontains(output.table, "none")
    error_message = "The table is another: ${output.table}"
  }
}

run "what_has_no_price_is_said" {
  command = plan

  variables {
    lines = [{ item = "large machines", price = "instance-hour-x9.metal", quantity = 730 }]
  }

  assert {
    condition     = output.total == 0 && output.unpriced == ["large machines"] && strcontains(output.table, "| large machines | 730 of instance-hour-x9.metal | not known | not known |")
    error_message = "A price that is not known must not count as nothing without a word."
  }
}

run "every_price_is_complete" {
  command = plan

  variables {
    lines = []
  }

  assert {
    condition     = output.total == 0 && alltrue([for price in values(yamldecode(file("prices.yaml"))) : price.usd > 0 && price.unit != "" && price.of != ""])
    error_message = "A price has a number, a unit and what it is the price of."
  }
}
